/* SPDX-License-Identifier: MIT */
/*
 * What the tests of both directions share: an account with a real state folder in virtual time, scripted
 * sessions, numbers that are not random, a token endpoint that the test answers, a disk that takes no writes.
 */
#pragma once

#include "scripted_session.h"
#include "state_folder.h"

#include "daemon/accounts/account.h"
#include "daemon/accounts/secrets.h"
#include "daemon/events.h"
#include "daemon/random.h"
#include "daemon/session/token.h"
#include "daemon/session/token_exchange.h"
#include "daemon/settings.h"
#include "daemon/store/fetched_table.h"

#include <signal.h>
#include <sys/resource.h>

enum { MORNING = 1742720400 }; /* 2025-03-23 09:00 UTC, a Sunday without a change of the clocks */

/* ---- in place of daemon/random.c: the middle of every spread, and words that count ---- */

const char token_digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
static uint32_t drawn; /* what the next number is */

uint32_t random_number(void)
{
        return drawn;
}

void random_token(char *out, size_t count)
{
        static uint64_t counter;
        uint64_t rest = ++counter;

        for (size_t i = count; i-- > 0; rest /= 32)
                out[i] = token_digits[rest % 32];
        out[count] = '\0';
}

/* ---- in place of daemon/session/token_exchange.c ---- */

struct token_exchange {
        token_exchanged *done;
        void *ctx;
};
static struct token_exchange *asked; /* the question under way */
static unsigned questions;

struct token_exchange *token_exchange_begin(unused_arg const struct property_values *values,
                                            unused_arg const char *url,
                                            unused_arg const struct grant_request *request,
                                            unused_arg bool record, token_exchanged *done, void *ctx)
{
        ck_assert_ptr_null(asked);
        asked = new_object(struct token_exchange);
        *asked = (struct token_exchange){ .done = done, .ctx = ctx };
        questions++;
        return asked;
}

void token_exchange_cancel(struct token_exchange *exchange)
{
        if (exchange && exchange == asked)
                asked = NULL;
        free(exchange);
}

int token_client(unused_arg const struct property_values *values,
                 unused_arg const struct grant_source *source, struct grant_request *out,
                 unused_arg struct cause *cause)
{
        *out = (struct grant_request){ .client_id = "client" };
        return 0;
}

/* The endpoint answers; the texts of the answer are static. */
static inline void answer_grant(enum grant_result result, const struct grant_answer *said,
                                enum cause_code code)
{
        struct token_exchange *exchange = take(asked);
        struct grant_answer answer = *said;
        struct cause why = { 0 };

        must(exchange);
        answer.access_token = copy_text(said->access_token);
        answer.refresh_token = copy_text(said->refresh_token);
        answer.device_code = copy_text(said->device_code);
        if (code)
                cause_set(&why, code, "no token");
        exchange->done(exchange->ctx, result, &answer, &why, "");
        free(answer.access_token);
        free(answer.refresh_token);
        free(answer.device_code);
        free(exchange);
        settle();
}

/* A token of so many seconds; NULL: it is refused by this cause. */
static inline void answer_token(const char *token, int64_t seconds, enum cause_code code)
{
        struct grant_answer answer = { .access_token = (char *)(uintptr_t)token, .expires_in = seconds };

        answer_grant(token ? GRANT_GIVEN : GRANT_REFUSED, &answer, code);
}

/* ---- the disk ---- */

/* Files cannot grow: what is written fails, for real. Nothing is asserted meanwhile but by must(). */
static inline void disk_takes_writes(bool well)
{
        static struct rlimit before;
        struct rlimit small;

        if (well) {
                must(setrlimit(RLIMIT_FSIZE, &before) == 0);
                return;
        }
        (void)signal(SIGXFSZ, SIG_IGN);
        must(getrlimit(RLIMIT_FSIZE, &before) == 0);
        small = before;
        small.rlim_cur = 1;
        must(setrlimit(RLIMIT_FSIZE, &small) == 0);
}

/* ---- the account ---- */

static struct account *account;
static struct settings settings;

static inline void set_text_property(enum property_id id, const char *text)
{
        prop_put_text(&account->values, id, text);
}

static inline void set_number_property(enum property_id id, int64_t number)
{
        account->values.of[id].number = number;
}

static inline void runner_open(enum account_kind kind)
{
        struct property_values values;
        struct cause cause = { 0 };

        drawn = 0;
        questions = 0;
        memset(&net, 0, sizeof net);
        (void)snprintf(state_folder, sizeof state_folder, "%s/state.XXXXXX",
                       getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(state_folder));
        ck_assert_msg(loop_open(&cause) == 0, "%s", cause.text);
        loop_freeze(1000000, MORNING);
        ck_assert_msg(store_open(state_folder, &cause) == 0, "%s", cause.text);
        events_open();
        settings_defaults(&settings);
        settings_put_current(&settings);
        properties_defaults(&values, kind);
        account = account_hold(account_new(&values));
        properties_done(&values);
        set_text_property(PROP_NAME, "box");
        free(account->name);
        account->name = copy_text("box");
        set_text_property(PROP_HOSTNAME, "mail.example.net");
        set_text_property(PROP_ACCOUNT, "");
        settle();
}

/* The runner was freed before. */
static inline void runner_close(void)
{
        tokens_close();
        free(take(asked));
        script_forget_words();
        settle();
        ck_assert_uint_eq(net.open, 0);
        ck_assert_uint_eq(account->users, 1); /* ours: nobody else is left who would have to let go */
        account->deleted = true;
        account_release(account);
        events_close();
        settle();
        folder_close();
        settings_done(&settings);
}

/* It signs in by tokens that are fetched with the client's own credentials. */
static inline void use_tokens(void)
{
        set_text_property(PROP_ACCOUNT, "ann");
        set_text_property(PROP_AUTHENTICATION, "xoauth2");
        set_text_property(PROP_OAUTH_PROVIDER, "custom");
        set_text_property(PROP_OAUTH_GRANT, "clientCredentials");
        set_text_property(PROP_OAUTH_TOKEN_ENDPOINT, "https://token.example.net/");
}

#define check_status(expected) \
        ck_assert_msg(account->status == (expected), "status %s: %s", account_status_name(account->status), \
                      account->cause->text)

/* ---- a poll that a person asked for ---- */

struct answered_poll {
        unsigned times;
        struct poll_result result;
};

static inline void poll_answered(void *ctx, const struct poll_result *result)
{
        struct answered_poll *answer = ctx;

        answer->times++;
        answer->result = *result;
}
