/* SPDX-License-Identifier: MIT */
/* A state folder of its own for a test, the loop, and waiting for answers. */
#pragma once

#include "daemon/loop.h"
#include "daemon/store/owner.h"
#include "daemon/store/store.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

static char folder[256]; /* of the present test */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
        (void)st, (void)type, (void)walk;
        return remove(path);
}

static inline void folder_make(void)
{
        const char *base = getenv("TMPDIR");

        (void)snprintf(folder, sizeof folder, "%s/state.XXXXXX", base ? base : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(folder));
}

static inline void folder_remove(void)
{
        (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void reopen(void)
{
        struct cause cause = { 0 };

        ck_assert_msg(loop_open(&cause) == 0, "%s", cause.text);
        ck_assert_msg(store_open(folder, &cause) == 0, "%s", cause.text);
}

static inline void reclose(void)
{
        store_close();
        loop_close();
}

static inline void store_up(void)
{
        folder_make();
        reopen();
}

static inline void store_down(void)
{
        reclose();
        folder_remove();
}

/* An answer that was waited for. */
struct answer {
        bool came;
        bool failed;
        struct cause cause;
        size_t count;
};

static inline void answered(void *ctx, const struct cause *cause)
{
        struct answer *answer = ctx;

        ck_assert(!answer->came);
        answer->came = true;
        answer->failed = cause != NULL;
        if (cause)
                answer->cause = *cause;
        loop_end();
}

static inline void wait_for(const struct answer *answer)
{
        while (!answer->came)
                loop_run();
}

#define wait_well(answer) \
        do { \
                wait_for(answer); \
                ck_assert_msg(!(answer)->failed, "%s", (answer)->cause.text); \
        } while (0)

static inline void forgotten(void *ctx, const struct owner_rows *rows, const struct cause *cause)
{
        (void)rows;
        answered(ctx, cause);
}

/* Removes all that is under the name. */
static inline void forget_account(const char *name)
{
        struct answer answer = { 0 };

        owner_renew(name, NULL, false, forgotten, &answer);
        wait_well(&answer);
}
