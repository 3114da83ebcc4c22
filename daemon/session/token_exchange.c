/* SPDX-License-Identifier: MIT */
/* A session with an HTTP engine, and what came of it; see token_exchange.h. */
#include "daemon/session/token_exchange.h"

#include "daemon/accounts/secrets.h"
#include "daemon/loop.h"
#include "daemon/session/session.h"
#include "daemon/tls/clock_doubt.h"

#include <stdio.h>

struct token_exchange {
        struct session *session;      /* NULL: `failure` is told later */
        struct grant_request request; /* texts owned */
        struct http_place place;
        struct cause failure;
        token_exchanged *done; /* NULL: cancelled */
        void *ctx;
};

static void request_copy(struct grant_request *to, const struct grant_request *from)
{
        *to = (struct grant_request){
                .client_id = copy_text(from->client_id),
                .client_secret = copy_text(from->client_secret),
                .scope = copy_text(from->scope),
                .refresh_token = copy_text(from->refresh_token),
                .device_code = copy_text(from->device_code),
                .assertion = copy_text(from->assertion),
                .ask_device = from->ask_device,
        };
}

/* grant_request has const texts, since most requests borrow them; these are copies of ours. */
static void forget(const char *secret)
{
        free_secret((char *)(uintptr_t)secret);
}

static void exchange_free(struct token_exchange *exchange)
{
        forget(exchange->request.client_id);
        forget(exchange->request.client_secret);
        forget(exchange->request.scope);
        forget(exchange->request.refresh_token);
        forget(exchange->request.device_code);
        forget(exchange->request.assertion);
        http_place_done(&exchange->place);
        if (exchange->session)
                session_close(exchange->session);
        free(exchange);
}

/* The last call. `done` may begin another exchange and must not cancel this one any more: it is freed here.
 */
static void finish(struct token_exchange *exchange, enum grant_result result, struct grant_answer *answer,
                   const struct cause *why, const char *challenge_id)
{
        token_exchanged *done = exchange->done;
        void *ctx = exchange->ctx;

        exchange->done = NULL;
        done(ctx, result, answer, why, challenge_id);
        grant_answer_done(answer);
        exchange_free(exchange);
}

/* The session failed. Remedies that speak of the account's mail server do not fit. */
static void explain(struct cause *cause)
{
        scoped(scoped_free) char *words = copy_text(cause->text);

        (void)snprintf(cause->text, sizeof cause->text, "no OAuth token could be fetched: %.450s", words);
        switch ((int)cause->code) {
        case CAUSE_RESOLVE:
        case CAUSE_CONNECT:
        case CAUSE_TIMEOUT:
        case CAUSE_TLS_MISMATCH:
                cause_remedy(cause, "check the network and the resolver, and oauthTenant and the endpoints "
                                    "of the account");
                break;
        case CAUSE_TLS:
        case CAUSE_TLS_VERSION:
                cause_remedy(cause, "ask the provider: its endpoint must have TLS 1.2 or newer");
                break;
        default:
                break;
        }
}

/* The server's Date counts as a witness about our clock: a wrong one makes tokens and certificates look
 * expired. */
static void ended(void *ctx, const struct cause *why, const char *challenge_id)
{
        struct token_exchange *exchange = ctx;
        struct grant_answer answer = { 0 };
        struct cause cause = *why;
        enum grant_result result = GRANT_REFUSED;

        if (cause.code == CAUSE_NONE) {
                struct http_answer heard = http_post_answer(session_engine(exchange->session));
                scoped(scoped_free) char *who = text_of("that of %.40s", exchange->place.host);
                clock_doubt_said(heard.date, false, who, loop_now());
                result = grant_read(&heard, &exchange->request, &answer, &cause);
        } else {
                explain(&cause);
        }
        finish(exchange, result, &answer, &cause, challenge_id);
}

/* For a URL that is none: told on the loop's next turn, as every other outcome, so that the caller has the
 * exchange in hand before it ends. */
static void fail_later(void *ctx)
{
        struct token_exchange *exchange = ctx;
        struct grant_answer none = { 0 };

        if (exchange->done)
                finish(exchange, GRANT_REFUSED, &none, &exchange->failure, "");
        else
                exchange_free(exchange);
}

/* Also when the session goes to the next address: an engine serves one connection. The form has secrets in
 * it and is wiped. */
static struct engine *new_engine(void *ctx)
{
        struct token_exchange *exchange = ctx;
        scoped(scoped_free_secret) char *form = grant_form(&exchange->request);

        return http_post_new(&exchange->place, form);
}

/* The engine ends without ever being ready. */
static const struct session_user session_user = { .again = new_engine, .ended = ended };

/* Addresses, timeouts and trust are the account's; what weakens TLS for an old mail server is not, nor is
 * its client certificate shown to a third party. */
static void open_link(struct token_exchange *exchange, const struct property_values *values, bool record)
{
        struct session_plan plan;

        session_plan_of(values, &plan);
        plan.host = exchange->place.host;
        plan.port = exchange->place.port;
        plan.ssl = true;
        plan.starttls = false;
        plan.legacy_renegotiation = false;
        plan.min_tls = plan.min_tls < 12
                               ? 12
                               : plan.min_tls; /* a mail server's age is no reason to be lenient here */
        plan.alpn = "http/1.1";
        plan.client_certificate = NULL;
        plan.record = record;
        exchange->session = session_open(&plan, new_engine(exchange), &session_user, exchange);
}

struct token_exchange *token_exchange_begin(const struct property_values *values, const char *url,
                                            const struct grant_request *request, bool record,
                                            token_exchanged *done, void *ctx)
{
        struct token_exchange *exchange = new_object(struct token_exchange);

        exchange->done = done;
        exchange->ctx = ctx;
        request_copy(&exchange->request, request);
        if (http_place_of(url, &exchange->place, &exchange->failure) == 0)
                open_link(exchange, values, record);
        else
                loop_later(fail_later, exchange);
        return exchange;
}

/* Without a session fail_later() is on its way and frees it. */
void token_exchange_cancel(struct token_exchange *exchange)
{
        if (!exchange)
                return;
        exchange->done = NULL;
        if (exchange->session)
                exchange_free(exchange);
}

/* The client secret is borrowed from the secrets, until the next change of them; token_exchange_begin()
 * copies it. */
int token_client(const struct property_values *values, const struct grant_source *source,
                 struct grant_request *out, struct cause *cause)
{
        const char *name = prop_text(values, PROP_NAME);
        scoped(scoped_free) char *kept = secret_source(name, "oauthClientSecret");

        *out = (struct grant_request){ .client_id = prop_text(values, PROP_OAUTH_CLIENT_ID),
                                       .scope = source->scope };
        if (same_text(kept, "none"))
                return 0; /* a public client (RFC 6749 section 2.1) */
        out->client_secret = secret_get(name, "oauthClientSecret", cause);
        return out->client_secret ? 0 : -1;
}
