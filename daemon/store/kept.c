/* SPDX-License-Identifier: MIT */
/* Durable values of accounts; see kept.h. By account a list of those that were ever set: most have few, and
 * there are thousands of them, so that what holds them is small. */
#include "daemon/store/kept.h"

#include "daemon/loop.h"
#include "daemon/store/jobs.h"
#include "daemon/store/owner_rows.h"

/* As they are on disk, for good. */
static const char *const names[KEPT_VALUES] = {
        [KEPT_LAST_CHECKED] = "lastChecked",
        [KEPT_LAST_POLL_SUCCESS] = "lastPollSuccess",
        [KEPT_LAST_POLL_FAILURE] = "lastPollFailure",
        [KEPT_LAST_POLL_FAILURE_CAUSE] = "lastPollFailureCause",
        [KEPT_NUMBER_SENT] = "numberSent",
        [KEPT_NUMBER_DEFERRED] = "numberDeferred",
        [KEPT_NUMBER_DISCARDED] = "numberDiscarded",
        [KEPT_LAST_DISCARD] = "lastDiscard",
        [KEPT_LAST_DISCARD_CAUSE] = "lastDiscardCause",
        [KEPT_NUMBER_RECEIVED] = "numberReceived",
        [KEPT_LAST_RECEIVED] = "lastReceived",
        [KEPT_HANDED_BACK] = "handedBack",
        [KEPT_LAST_HANDED_BACK] = "lastHandedBack",
        [KEPT_MISSING] = "missing",
        [KEPT_NAMELESS] = "nameless",
        [KEPT_NO_UID_EXPUNGE] = "noUidExpunge",
        [KEPT_FLOOD_RECIPIENT] = "floodRecipient",
        [KEPT_LAST_FLOOD] = "lastFlood",
        [KEPT_NUMBER_GATHERED] = "numberGathered",
        [KEPT_LAST_GATHERED] = "lastGathered",
        [KEPT_PAUSED_SECONDS] = "pausedSeconds",
        [KEPT_STOPPED_SINCE] = "stoppedSince",
        [KEPT_SENT_DAY] = "sentDay",
        [KEPT_SENT_ON_DAY] = "sentOnDay",
        [KEPT_SIGNED_IN_BY] = "signedInBy",
        [KEPT_SIGNED_IN_AT] = "signedInAt",
        [KEPT_SIGNIN_BROKEN] = "signinBroken",
        [KEPT_WORKED_SINCE] = "workedSince",
        [KEPT_LAST_SIGNED_IN] = "lastSignedIn",
        [KEPT_DOUBT_TALK] = "doubtTalk",
        [KEPT_DOUBT_TRIES] = "doubtTries",
        [KEPT_DOUBT_NEXT] = "doubtNext",
        [KEPT_HEARTBEAT_STATE] = "heartbeatStateNumber",
        [KEPT_LAST_HEARTBEAT] = "lastHeartbeat",
        [KEPT_LAST_HEARTBEAT_ARRIVED] = "lastHeartbeatArrived",
        [KEPT_LAST_HEARTBEAT_SECONDS] = "lastHeartbeatSeconds",
        [KEPT_HEARTBEAT_TOKEN] = "heartbeatToken",
        [KEPT_HEARTBEAT_ID] = "heartbeatId",
        [KEPT_HEARTBEAT_TO] = "heartbeatTo",
        [KEPT_HEARTBEAT_RETURNS] = "heartbeatReturns",
        [KEPT_HEARTBEAT_WAS_MISSING] = "heartbeatWasMissing",
        [KEPT_FAULT_MAIL_OPEN] = "faultMailOpen",
        [KEPT_HEARTBEAT_MAIL_OPEN] = "heartbeatMailOpen",
        [KEPT_FAULT_MAIL_DAY] = "faultMailDay",
        [KEPT_FAULT_MAILS] = "faultMails",
        [KEPT_LAST_CHANGE] = "lastChange",
        [KEPT_ANCHORS] = "anchors",
        [KEPT_DECISIONS] = "decisions",
};
/* Of each code of a fault that was told by mail: "faultMail.Authentication". */
#define FAULT_TOLD "faultMail."

/* The codes that there are, of all accounts: beside the values that have a word, each is one. */
static struct {
        char **names;
        unsigned count;
} codes;

static unsigned fault_told(const char *code)
{
        unsigned i = 0;

        while (i < codes.count && strcmp(codes.names[i], code) != 0)
                i++;
        if (i == codes.count) {
                codes.names = new_resized(codes.names, ++codes.count, sizeof *codes.names);
                codes.names[i] = copy_text(code);
        }
        return KEPT_VALUES + i;
}

struct value_kept {
        union {
                char *text; /* owned */
                int64_t number;
        };
        unsigned value; /* enum kept, or fault_told() */
        bool is_text;
        bool changed; /* since it was last given to the writer */
};
struct values {
        struct value_kept *items;
        struct values *next_changed;
        struct values *next; /* in its bucket */
        uint16_t count;
        bool changed; /* is in the list of changed ones */
        char account[];
};

enum { BUCKETS = 4096 };
static struct values *buckets[BUCKETS]; /* by the hash of the account's name */
static struct values *last;             /* asked for: questions come account by account */
static struct values *changed;

/* Where the values of that account hang, or would. */
static struct values **place_of(const char *account)
{
        struct values **place = &buckets[text_hash(account) % BUCKETS];

        while (*place && strcmp((*place)->account, account) != 0)
                place = &(*place)->next;
        return place;
}

static struct values *values_of(const char *account)
{
        if (last && strcmp(last->account, account) == 0)
                return last;
        struct values *found = *place_of(account);
        if (found)
                last = found;
        return found;
}

static struct values *values_or_new(const char *account)
{
        struct values *values = values_of(account);
        size_t size = strlen(account) + 1;

        if (values)
                return values;
        values = new_memory(sizeof *values + size);
        *values = (struct values){ 0 };
        memcpy(values->account, account, size);
        *place_of(account) = values;
        return values;
}

static struct value_kept *find(const struct values *values, unsigned value)
{
        for (size_t i = 0; values && i < values->count; i++)
                if (values->items[i].value == value)
                        return &values->items[i];
        return NULL;
}

static struct value_kept *find_or_new(struct values *values, unsigned value)
{
        struct value_kept *item = find(values, value);

        if (item)
                return item;
        values->items = new_resized(values->items, values->count + 1u, sizeof *values->items);
        item = &values->items[values->count++];
        *item = (struct value_kept){ .value = value };
        return item;
}

static void put_number(struct value_kept *item, int64_t number)
{
        if (item->is_text)
                free(item->text);
        item->is_text = false;
        item->number = number;
}

static void put_text(struct value_kept *item, const char *text)
{
        char *copy = copy_text(text); /* before the old one goes: it may be the text */

        put_number(item, 0);
        item->is_text = true;
        item->text = copy;
}

static void values_clear(struct values *values)
{
        for (size_t i = 0; i < values->count; i++)
                put_number(&values->items[i], 0);
        free(take(values->items));
        values->count = 0;
}

static void note_change(struct values *values, struct value_kept *item)
{
        item->changed = true;
        if (!values->changed) {
                values->changed = true;
                values->next_changed = changed;
                changed = values;
        }
}

enum kept kept_named(const char *name)
{
        unsigned value = 0;

        while (value < KEPT_VALUES && strcmp(names[value], name) != 0)
                value++;
        return (enum kept)value;
}

/* ---- asking and setting ---- */

static int64_t number_of(const char *account, unsigned value)
{
        const struct value_kept *item = find(values_of(account), value);

        return item && !item->is_text ? item->number : 0;
}

int64_t kept_number(const char *account, enum kept value)
{
        return number_of(account, value);
}

int64_t kept_fault_told(const char *account, const char *code)
{
        return number_of(account, fault_told(code));
}

int64_t kept_clock(const char *account)
{
        int64_t now = (int64_t)loop_wall(), since = kept_number(account, KEPT_STOPPED_SINCE);
        int64_t standing = since && now > since ? now - since : 0;

        return now - kept_number(account, KEPT_PAUSED_SECONDS) - standing;
}

const char *kept_text(const char *account, enum kept value)
{
        const struct value_kept *item = find(values_of(account), value);

        return item && item->is_text ? item->text : NULL;
}

static void set_number(const char *account, unsigned value, int64_t number)
{
        struct values *values = values_or_new(account);
        struct value_kept *item = find_or_new(values, value);

        put_number(item, number);
        note_change(values, item);
        store_wake();
}

void kept_set_number(const char *account, enum kept value, int64_t number)
{
        set_number(account, value, number);
}

void kept_set_fault_told(const char *account, const char *code, int64_t when)
{
        set_number(account, fault_told(code), when);
}

void kept_add(const char *account, enum kept value, int64_t delta)
{
        set_number(account, value, kept_number(account, value) + delta);
}

void kept_set_text(const char *account, enum kept value, const char *text)
{
        struct values *values = values_or_new(account);
        struct value_kept *item = find_or_new(values, value);

        put_text(item, text ? text : "");
        note_change(values, item);
        store_wake();
}

/* ---- writing ---- */

struct pair {
        char *account, *code, *text;
        unsigned value;
        int64_t number;
        struct owner owner; /* as it was when the value changed */
};
struct kept_write {
        struct pair *pairs;
        size_t count;
        struct store_write write;
};

static char *name_of(const struct pair *pair)
{
        return pair->code ? text_of(FAULT_TOLD "%s", pair->code) : copy_text(names[pair->value]);
}

static int kept_write_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct kept_write *kept = container_of(write, struct kept_write, write);
        int holds = 1;

        for (size_t i = 0; i < kept->count; i++) {
                const struct pair *pair = &kept->pairs[i];
                if (i == 0 || strcmp(pair->account, pair[-1].account) != 0)
                        holds = owner_still_holds(db, &pair->owner, cause);
                if (holds < 0)
                        return -1;
                if (holds == 0)
                        continue; /* of an account that has been deleted since */
                scoped(scoped_free) char *name = name_of(pair);
                if (db_run(db, cause, "INSERT OR REPLACE INTO fact (account, name, value) VALUES (?, ?, ?)",
                           VALUES(v_text(pair->account), v_text(name),
                                  pair->text ? v_text(pair->text) : v_int(pair->number))) < 0)
                        return -1;
        }
        return 0;
}

static void kept_write_done(struct store_write *write, const struct cause *cause)
{
        struct kept_write *kept = container_of(write, struct kept_write, write);

        for (size_t i = 0; i < kept->count; i++) {
                struct pair *pair = &kept->pairs[i];
                /* Not on disk: the value of now, not the one of then, goes with the next commit. */
                struct values *values = cause && !store_closing() ? values_of(pair->account) : NULL;
                struct value_kept *item = find(values, pair->value);
                if (item)
                        note_change(values, item);
                free(pair->account);
                free(pair->code);
                free(pair->text);
        }
        free(kept->pairs);
        free(kept);
}

static struct pair pair_of(const struct values *values, const struct value_kept *item)
{
        unsigned value = item->value;

        return (struct pair){ .account = copy_text(values->account),
                              .code = copy_text(value < KEPT_VALUES ? NULL
                                                                    : codes.names[value - KEPT_VALUES]),
                              .text = item->is_text ? copy_text(item->text) : NULL,
                              .value = value,
                              .number = item->is_text ? 0 : item->number,
                              .owner = owner_of(values->account) };
}

struct store_write *kept_to_write(void)
{
        if (!changed)
                return NULL;
        struct kept_write *kept = new_object(struct kept_write);
        kept->write = (struct store_write){ .write = kept_write_work, .done = kept_write_done };
        while (changed) {
                struct values *values = changed;
                changed = values->next_changed;
                values->changed = false;
                for (size_t i = 0; i < values->count; i++) {
                        struct value_kept *item = &values->items[i];
                        if (!item->changed)
                                continue;
                        item->changed = false;
                        if ((kept->count & (kept->count - 1)) == 0)
                                kept->pairs =
                                        new_resized(kept->pairs, 2 * kept->count + 1, sizeof *kept->pairs);
                        kept->pairs[kept->count++] = pair_of(values, item);
                }
        }
        return &kept->write;
}

/* ---- forgetting and loading ---- */

void kept_forget(const char *account)
{
        struct values *values = values_of(account);

        if (values)
                values_clear(values);
}

/* NULL: this version does not know the name. */
static struct value_kept *item_for(const char *account, const char *name)
{
        bool told = strncmp(name, FAULT_TOLD, strlen(FAULT_TOLD)) == 0;
        unsigned value = told ? fault_told(name + strlen(FAULT_TOLD)) : kept_named(name);

        if (!told && value == KEPT_VALUES)
                return NULL;
        return find_or_new(values_or_new(account), value);
}

int kept_load(struct database *db, struct cause *cause)
{
        int more;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT account, name, value FROM fact", NULL, 0);

        if (!rows)
                return -1;
        while ((more = db_next(db, rows, cause)) > 0) {
                struct value_kept *item = item_for((const char *)sqlite3_column_text(rows, 0),
                                                   (const char *)sqlite3_column_text(rows, 1));
                if (item && sqlite3_column_type(rows, 2) == SQLITE_INTEGER)
                        put_number(item, sqlite3_column_int64(rows, 2));
                else if (item)
                        put_text(item, (const char *)sqlite3_column_text(rows, 2));
        }
        return more;
}

void kept_free(void)
{
        for (size_t i = 0; i < BUCKETS; i++)
                while (buckets[i]) {
                        struct values *values = buckets[i];
                        buckets[i] = values->next;
                        values_clear(values);
                        free(values);
                }
        last = changed = NULL;
        while (codes.count)
                free(codes.names[--codes.count]);
        free(take(codes.names));
}
