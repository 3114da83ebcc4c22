/* SPDX-License-Identifier: MIT */
/* Headers of tar members written and read; see tar.h. */
#include "common/tar.h"

#include <stdio.h>
#include <stdlib.h>

/* The header of POSIX.1-1988; numbers are octal digits with a NUL after them. */
struct ustar {
        char name[100], mode[8], uid[8], gid[8], size[12], time[12], sum[8], type, link[100], magic[6],
                version[2];
        char user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct ustar) == TAR_BLOCK, "a block");

/* Eleven digits and a NUL: what is 8 GiB or more does not fit. */
enum { SIZE_MAX_OCTAL = 11 }; /* digits */
#define SIZE_LIMIT ((uint64_t)1 << (3 * SIZE_MAX_OCTAL))

/* Of all bytes, the field of the sum itself taken as blanks. */
static unsigned sum_of(const struct ustar *header)
{
        struct ustar copy = *header;
        const uint8_t *bytes = (const uint8_t *)&copy;
        unsigned sum = 0;

        memset(copy.sum, ' ', sizeof copy.sum);
        for (size_t i = 0; i < sizeof copy; i++)
                sum += bytes[i];
        return sum;
}

static void put_octal(char *field, size_t size, uint64_t number)
{
        for (size_t i = size - 1; i-- > 0; number >>= 3)
                field[i] = (char)('0' + (number & 7));
        field[size - 1] = '\0';
}

static int put_block(struct buf *out, const char *name, uint64_t size, int64_t time, char type)
{
        struct ustar header = { 0 };

        /* For root alone: what is in a backup is secret, and the ids of one machine mean nothing on
         * another. */
        memcpy(header.name, name, strnlen(name, sizeof header.name));
        put_octal(header.mode, sizeof header.mode, 0600);
        put_octal(header.uid, sizeof header.uid, 0);
        put_octal(header.gid, sizeof header.gid, 0);
        put_octal(header.size, sizeof header.size, size);
        put_octal(header.time, sizeof header.time, time > 0 ? (uint64_t)time : 0);
        header.type = type;
        memcpy(header.magic, "ustar", sizeof header.magic);
        memcpy(header.version, "00", sizeof header.version);
        /* Six digits, a NUL, a blank: this field alone ends so. */
        put_octal(header.sum, 7, sum_of(&header));
        header.sum[7] = ' ';
        return buf_append(out, &header, sizeof header);
}

/* "LEN KEY=VALUE\n": LEN counts itself. */
static int put_record(struct buf *records, const char *key, const char *value)
{
        size_t rest = strlen(key) + strlen(value) + 3, len = rest + 1;

        while (len != rest + (size_t)snprintf(NULL, 0, "%zu", len))
                len = rest + (size_t)snprintf(NULL, 0, "%zu", len);
        return buf_appendf(records, "%zu %s=%s\n", len, key, value);
}

static int put_zeros(struct buf *out, size_t count)
{
        static const uint8_t zeros[TAR_BLOCK];

        return buf_append(out, zeros, count);
}

size_t tar_padding(uint64_t size)
{
        return (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

/* What the old header cannot hold goes before it in a pax header (POSIX.1-2001), which is the one
 * that counts for those who know it. */
int tar_header(const struct tar_member *member, struct buf *out)
{
        bool long_name = strlen(member->name) > sizeof((struct ustar *)0)->name,
             large = member->size >= SIZE_LIMIT;
        struct buf records = BUF_WITH_MAX(TAR_PAX_MAX);
        char digits[24];
        int failed = 0;

        (void)snprintf(digits, sizeof digits, "%llu", (unsigned long long)member->size);
        if (long_name)
                failed |= put_record(&records, "path", member->name);
        if (large)
                failed |= put_record(&records, "size", digits);
        if (records.len)
                failed |= put_block(out, "pax", records.len, member->time, 'x') |
                          buf_append(out, buf_bytes(&records), records.len) |
                          put_zeros(out, tar_padding(records.len));
        buf_free(&records);
        return failed || put_block(out, member->name, large ? 0 : member->size, member->time, '0') < 0 ? -1
                                                                                                       : 0;
}

/* ---- reading ---- */

/* Blanks may stand before it; a NUL, a blank or the end of the field behind. The binary numbers of
 * GNU tar are refused. */
static int octal(const char *field, size_t size, uint64_t *out)
{
        size_t i = 0;

        *out = 0;
        while (i < size && field[i] == ' ')
                i++;
        if (i == size || field[i] < '0' || field[i] > '7')
                return -1;
        for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
                if (*out >> 60)
                        return -1;
                *out = *out << 3 | (uint64_t)(field[i] - '0');
        }
        return i == size || field[i] == '\0' || field[i] == ' ' ? 0 : -1;
}

static bool all_zero(const uint8_t *block)
{
        for (size_t i = 0; i < TAR_BLOCK; i++)
                if (block[i])
                        return false;
        return true;
}

enum tar_kind tar_read(const uint8_t *block, struct tar_member *member, struct cause *cause)
{
        struct ustar header;
        uint64_t sum, time;

        *member = (struct tar_member){ 0 };
        /* Two such blocks end an archive; the first is enough. */
        if (all_zero(block))
                return TAR_END;
        memcpy(&header, block, sizeof header);
        if (memcmp(header.magic, "ustar", 5) != 0 || octal(header.sum, sizeof header.sum, &sum) < 0 ||
            sum != sum_of(&header) || octal(header.size, sizeof header.size, &member->size) < 0 ||
            octal(header.time, sizeof header.time, &time) < 0) {
                cause_set(cause, CAUSE_INVALID, "this is no tar archive, or it is damaged");
                return TAR_BAD;
        }
        member->time = (int64_t)time;
        bool prefixed = header.prefix[0] != '\0';
        (void)snprintf(member->name, sizeof member->name, "%.*s%s%.*s", (int)sizeof header.prefix,
                       header.prefix, prefixed ? "/" : "", (int)sizeof header.name, header.name);
        if (header.type == 'x')
                return TAR_PAX;
        if (header.type == '0' || header.type == '\0')
                return TAR_FILE;
        /* No link, device or folder: nothing of an archive leads out of the place where it is
         * unpacked. */
        cause_set(cause, CAUSE_INVALID, "member %s of the archive is no regular file", member->name);
        return TAR_BAD;
}

static int take_record(const char *key, size_t key_len, const char *value, size_t len,
                       struct tar_member *member)
{
        /* Keys other than these say nothing that is needed (owners, exact times). */
        if (key_len == 4 && !memcmp(key, "path", 4)) {
                if (len >= sizeof member->name || memchr(value, '\0', len))
                        return -1;
                memcpy(member->name, value, len);
                member->name[len] = '\0';
        } else if (key_len == 4 && !memcmp(key, "size", 4)) {
                char digits[24] = "", *end;
                if (len >= sizeof digits || len == 0)
                        return -1;
                memcpy(digits, value, len);
                member->size = strtoull(digits, &end, 10);
                return *end || member->size >> 62 ? -1 : 0;
        }
        return 0;
}

int tar_pax(const char *records, size_t len, struct tar_member *member, struct cause *cause)
{
        /* A length is held against what is left before anything behind it is looked at. */
        while (len) {
                size_t digits = 0, whole = 0;
                while (digits < len && digits < 6 && records[digits] >= '0' && records[digits] <= '9')
                        whole = whole * 10 + (size_t)(records[digits++] - '0');
                const char *equals = whole <= len ? memchr(records, '=', whole) : NULL;
                if (!digits || digits + 3 > whole || records[digits] != ' ' || !equals ||
                    equals < records + digits + 1 || records[whole - 1] != '\n' ||
                    take_record(records + digits + 1, (size_t)(equals - records) - digits - 1, equals + 1,
                                (size_t)(records + whole - 1 - equals) - 1, member) < 0)
                        return cause_set(cause, CAUSE_INVALID, "a pax header of the archive is damaged");
                records += whole;
                len -= whole;
        }
        return 0;
}
