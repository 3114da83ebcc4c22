/* SPDX-License-Identifier: MIT */
/* Sequence numbers to ids and back; see queue_ids.h. */
#include "daemon/store/queue_ids.h"

#include "daemon/random.h"

#include <ctype.h>
#include <stdio.h>

#define ID_MASK    ((UINT64_C(1) << (5 * QUEUE_ID_DIGITS)) - 1)
#define SCATTER    UINT64_C(0x5bd1e9955) /* odd, so that it has an inverse */
#define PROBES_MAX 4096                  /* numbers looked up one by one before a scan is cheaper */

static char suffix[QUEUE_ID_SUFFIX + 1];

static int digit_value(char c)
{
        const char *at = c ? strchr(token_digits, tolower((unsigned char)c)) : NULL;

        return at ? (int)(at - token_digits) : -1;
}

/* The inverse of SCATTER modulo 2^64 (Newton: each round doubles the bits that are right). */
static uint64_t gather(void)
{
        uint64_t inverse = SCATTER;

        for (int i = 0; i < 6; i++)
                inverse *= 2 - SCATTER * inverse;
        return inverse;
}

void queue_id_of(uint64_t seq, char id[QUEUE_ID_SIZE])
{
        uint64_t number = seq * SCATTER & ID_MASK;

        for (int i = 0; i < QUEUE_ID_DIGITS; i++, number >>= 5)
                id[i] = token_digits[number & 31];
        (void)snprintf(id + QUEUE_ID_DIGITS, QUEUE_ID_SIZE - QUEUE_ID_DIGITS, "%s", suffix);
}

/* The lowest bits of the sequence numbers that a beginning of an id allows; how many bits, or -1
 * when no message can have that id. */
static int id_bits(const char *id, uint64_t *out)
{
        size_t len = strlen(id);
        uint64_t number = 0;

        if (len == 0 || len > QUEUE_ID_DIGITS + QUEUE_ID_SUFFIX)
                return -1;
        int known = len < QUEUE_ID_DIGITS ? (int)len : QUEUE_ID_DIGITS;
        for (int i = 0; i < known; i++) {
                int value = digit_value(id[i]);
                if (value < 0)
                        return -1;
                number |= (uint64_t)value << (5 * i);
        }
        for (size_t i = QUEUE_ID_DIGITS; i < len; i++)
                if (tolower((unsigned char)id[i]) != suffix[i - QUEUE_ID_DIGITS])
                        return -1;
        *out = number * gather() & ((UINT64_C(1) << (5 * known)) - 1);
        return 5 * known;
}

/* Up to two of the messages whose number has these lowest bits. */
static int find_by_probes(struct database *db, uint64_t low, uint64_t step, uint64_t last, uint64_t found[2],
                          struct cause *cause)
{
        int count = 0;

        for (uint64_t seq = low; seq <= last && count < 2; seq += step) {
                int64_t there;
                if (db_number(db, cause, &there, 0, "SELECT 1 FROM message WHERE seq = ?",
                              VALUES(v_int((int64_t)seq))) < 0)
                        return -1;
                if (there)
                        found[count++] = seq;
        }
        return count;
}

static int find_by_scan(struct database *db, uint64_t low, uint64_t step, uint64_t found[2],
                        struct cause *cause)
{
        int count = 0, more;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT seq FROM message WHERE seq & ? = ? LIMIT 2",
                         VALUES(v_int((int64_t)(step - 1)), v_int((int64_t)low)));

        if (!rows)
                return -1;
        while ((more = db_next(db, rows, cause)) > 0 && count < 2)
                found[count++] = (uint64_t)sqlite3_column_int64(rows, 0);
        return more < 0 ? -1 : count;
}

int queue_id_find(struct database *db, const char *id, uint64_t *out_seq, struct cause *cause)
{
        uint64_t low, found[2] = { 0 };
        int64_t last;
        int bits = id_bits(id, &low);

        if (bits < 0)
                return cause_missing(cause, MISSING_MESSAGE, "", id);
        if (db_number(db, cause, &last, 0, "SELECT max(seq) FROM message", NULL, 0) < 0)
                return -1;
        uint64_t step = UINT64_C(1) << bits;
        int count = (uint64_t)last / step <= PROBES_MAX
                            ? find_by_probes(db, low, step, (uint64_t)last, found, cause)
                            : find_by_scan(db, low, step, found, cause);
        if (count < 0)
                return -1;
        if (count == 0)
                return cause_missing(cause, MISSING_MESSAGE, "", id);
        if (count > 1)
                return cause_set(cause, CAUSE_AMBIGUOUS, "several messages have ids that begin with %s", id);
        *out_seq = found[0];
        return 0;
}

int queue_ids_load(struct database *db, struct cause *cause)
{
        char fresh[QUEUE_ID_SUFFIX + 1];

        random_token(fresh, QUEUE_ID_SUFFIX);
        if (db_run(db, cause, "INSERT OR IGNORE INTO meta (name, value) VALUES ('idSuffix', ?)",
                   VALUES(v_text(fresh))) < 0)
                return -1;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT value FROM meta WHERE name = 'idSuffix'", NULL, 0);
        if (!rows || db_next(db, rows, cause) < 0)
                return -1;
        const char *text = (const char *)sqlite3_column_text(rows, 0);
        if (!text || strlen(text) != QUEUE_ID_SUFFIX)
                return cause_set(cause, CAUSE_STORAGE, "station.db: the suffix of its ids is damaged");
        memcpy(suffix, text, sizeof suffix);
        return 0;
}
