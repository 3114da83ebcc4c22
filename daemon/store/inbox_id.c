/* SPDX-License-Identifier: MIT */
/* Ids of received messages; see inbox_id.h. */
#include "daemon/store/inbox_id.h"

#include "daemon/sha256.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t inbox_id(const char *file)
{
        uint8_t digest[32];
        int64_t id = 0;

        sha256_of(file, strcspn(file, ":"), digest);
        for (int i = 0; i < (INBOX_ID_SIZE - 1) / 2; i++)
                id = id << 8 | digest[i];
        return id;
}

void inbox_id_print(int64_t id, char text[INBOX_ID_SIZE])
{
        (void)snprintf(text, INBOX_ID_SIZE, "%012" PRIx64, (uint64_t)id & UINT64_C(0xffffffffffff));
}

int inbox_id_range(const char *beginning, int64_t *first, int64_t *last)
{
        size_t len = strlen(beginning);
        char whole[INBOX_ID_SIZE];

        if (len == 0 || len >= INBOX_ID_SIZE || strspn(beginning, "0123456789abcdefABCDEF") != len)
                return -1;
        memset(whole, '0', sizeof whole - 1);
        whole[sizeof whole - 1] = '\0';
        memcpy(whole, beginning, len);
        *first = (int64_t)strtoull(whole, NULL, 16);
        *last = *first | (int64_t)((UINT64_C(1) << 4 * (INBOX_ID_SIZE - 1 - len)) - 1);
        return 0;
}
