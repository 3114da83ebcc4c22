/* SPDX-License-Identifier: MIT */
/* Challenges and answers line by line, and the way that follows a refused one; see line_signin.h. */
#include "daemon/sasl/line_signin.h"

#include "common/limits.h"
#include "daemon/sasl/repeat.h"

#include <string.h>

void line_signin_clear(struct line_signin *signin)
{
        sasl_free(take(signin->sasl));
        free_secret(take(signin->first_response));
        free_secret(take(signin->last_said));
        signin->mechanism = NULL;
        signin->first_sent = false;
        signin->rounds = 0;
}

int line_signin_begin(struct line_signin *signin)
{
        struct cause cause = { 0 };
        int step = signin->class->next_way(signin->engine, &cause);

        return step != STEP_FAILED ? step : engine_fail_with(signin->engine, &cause);
}

bool line_signin_start(struct line_signin *signin, char **first)
{
        struct cause cause = { 0 };

        signin->sasl = sasl_new(signin->signin, &signin->engine->channel, signin->mechanism, &cause);
        *first = signin->sasl ? sasl_first(signin->sasl, &cause) : NULL;
        if (cause.code == CAUSE_NONE)
                return true;
        free_secret(take(*first));
        (void)engine_fail_with(signin->engine, &cause);
        return false;
}

int line_signin_answer(struct line_signin *signin, char *secret)
{
        free_secret(signin->last_said);
        signin->last_said = secret;
        signin->class->say(signin->engine, secret);
        return STEP_SAME;
}

/* The next way where there is one, else the cause. `open`: the exchange is still open, and is cancelled
 * first. */
static int go_on(struct line_signin *signin, bool again, bool open, struct cause *cause)
{
        scoped(scoped_free) char *offered = signin->class->offered(signin->engine);
        const char *refused = signin->mechanism;
        struct cause unused = { 0 };

        if (again) {
                line_signin_clear(signin);
                int step = signin->class->next_way(signin->engine, &unused);
                if (step != STEP_FAILED) {
                        engine_refused(signin->engine, cause);
                        if (!open)
                                return step;
                        signin->after_cancel = step;
                        signin->class->say(signin->engine, "*");
                        return STEP_SAME;
                }
        }
        scoped(scoped_free) char *others =
                sasl_other_words(&signin->engine->channel, offered, refused ? refused : "");
        signin_remedy(signin->signin, refused, others, cause);
        return engine_fail_with(signin->engine, cause);
}

/* `response` NULL: the exchange has failed on our side. */
static int answer_or_give_up(struct line_signin *signin, char *response, struct cause *cause)
{
        if (response)
                return line_signin_answer(signin, response);
        return go_on(signin, sasl_failed(&signin->ways, signin->signin, signin->sasl, cause), true, cause);
}

int line_signin_calculated(struct line_signin *signin, const struct calculation *calculation)
{
        struct cause cause = { 0 };
        char *response = sasl_calculated(signin->sasl, calculation, &cause);

        return answer_or_give_up(signin, response, &cause);
}

int line_signin_challenge(struct line_signin *signin, const char *challenge, size_t len)
{
        struct cause cause = { 0 };

        if (++signin->rounds > LIMIT_SASL_ROUNDS || len > LIMIT_SASL_MESSAGE)
                return engine_fail(signin->engine, CAUSE_PROTOCOL,
                                   "the server asks too much while signing in");
        if (signin->first_response) {
                /* "=" stands for an empty response in the command only; on a line of its own it is empty */
                char *first = take(signin->first_response);
                if (same_text(first, "="))
                        first[0] = '\0';
                return line_signin_answer(signin, first);
        }
        scoped(scoped_free) char *text = copy_bytes(challenge, len);
        struct calculation *slow = sasl_calculation(signin->sasl, text);
        if (slow)
                return engine_calculate(signin->engine, slow, signin->class->calculated);
        char *response = sasl_feed(signin->sasl, text, &cause);
        return answer_or_give_up(signin, response, &cause);
}

int line_signin_refused(struct line_signin *signin, enum server_kind kind, struct cause *cause)
{
        struct sasl_refusal refusal = {
                .kind = kind,
                .first_sent = signin->first_sent,
                .showed = sasl_showed(signin->sasl) && !signin->first_response,
        };
        enum sasl_again again = sasl_refused(&signin->ways, signin->signin, signin->mechanism, &refusal);

        return go_on(signin, again != SASL_NO_MORE, false, cause);
}

int line_signin_cancelled(struct line_signin *signin)
{
        int step = signin->after_cancel;

        signin->after_cancel = 0;
        return step;
}

bool line_signin_repeated(const struct line_signin *signin, const char *words, size_t len)
{
        const char *said = signin->last_said;

        return signin_repeated(signin->signin, words, len) ||
               (said && strlen(said) >= SECRET_SHORTEST && memmem(words, len, said, strlen(said)));
}
