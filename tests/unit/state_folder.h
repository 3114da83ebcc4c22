/* SPDX-License-Identifier: MIT */
/* A state folder with a running loop and store for the tests of tls/, and waiting for answers without
 * sleeping. */
#pragma once

#include "daemon/loop.h"
#include "daemon/store/store.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char state_folder[256];

static inline int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
        (void)st;
        (void)what;
        (void)ftw;
        return remove(path);
}

static inline void folder_open(void)
{
        const char *base = getenv("TMPDIR");
        struct cause cause = { 0 };

        (void)snprintf(state_folder, sizeof state_folder, "%s/state.XXXXXX", base ? base : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(state_folder));
        ck_assert_msg(loop_open(&cause) == 0, "%s", cause.text);
        ck_assert_msg(store_open(state_folder, &cause) == 0, "%s", cause.text);
}

static inline void folder_close(void)
{
        store_close();
        loop_close();
        (void)nftw(state_folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Path inside the state folder; the caller frees. */
static inline char *folder_path(const char *name)
{
        return text_of("%s/%s", state_folder, name);
}

static inline void folder_write(const char *name, const void *bytes, size_t len)
{
        char *path = folder_path(name);
        FILE *file = fopen(path, "w");

        ck_assert_ptr_nonnull(file);
        ck_assert_uint_eq(fwrite(bytes, 1, len, file), len);
        ck_assert_int_eq(fclose(file), 0);
        free(path);
}

/* Runs the loop until loop_end() or, lest a test hang, for ten seconds. */
static inline void fail_late(void *ctx)
{
        (void)ctx;
        ck_abort_msg("no answer in ten seconds");
}

static inline void run_until_end(void)
{
        struct timer *late = timer_new(fail_late, NULL);

        timer_set(late, 10000);
        loop_run();
        timer_free(late);
}
