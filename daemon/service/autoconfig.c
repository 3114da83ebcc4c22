/* SPDX-License-Identifier: MIT */
/* One GET after the other until a file is there; see autoconfig.h. */
#include "daemon/service/autoconfig.h"

#include "common/properties.h"
#include "daemon/loop.h"
#include "daemon/sasl/http_post.h"
#include "daemon/session/session.h"

/* A person waits for it at a terminal. */
enum { CONNECT_SECONDS = 10 };

/* In the order in which Thunderbird asks. Only over TLS and with a verified certificate: the file says to
 * which server a password goes. */
static const struct {
        const char *before, *behind; /* the domain */
} places[] = {
        { "https://autoconfig.", "/mail/config-v1.1.xml" },
        { "https://", "/.well-known/autoconfig/mail/config-v1.1.xml" },
};

struct autoconfig {
        char *domain, *url;
        size_t place; /* the next of `places` */
        struct http_place at;
        struct session *session;
        struct cause why;
        void (*done)(void *ctx, const char *url, const char *text,
                     const struct cause *why); /* NULL: cancelled, or told */
        void *ctx;
        handle_id self;
};

static void autoconfig_free(void *ctx)
{
        struct autoconfig *autoconfig = ctx;

        if (autoconfig->session)
                session_close(autoconfig->session);
        http_place_done(&autoconfig->at);
        free(autoconfig->domain);
        free(autoconfig->url);
        free(autoconfig);
}

/* For the last time; freed on the loop's next turn. */
static void end(struct autoconfig *autoconfig, const char *text, const struct cause *why)
{
        void (*done)(void *ctx, const char *url, const char *text, const struct cause *why) =
                take(autoconfig->done);

        handle_drop(&autoconfig->self);
        if (done)
                done(autoconfig->ctx, autoconfig->url, text, why);
        loop_later(autoconfig_free, autoconfig);
}

static struct engine *new_engine(void *ctx)
{
        return http_post_new(&((struct autoconfig *)ctx)->at, NULL);
}

static void try_next(void *object);

/* Any status but 200, and any failure, sends us to the next place; the cause of the last one is told when
 * none had the file. Redirects are not followed: they could lead to a name that nobody vouched for. */
static void ended(void *ctx, const struct cause *why, unused_arg const char *challenge_id)
{
        struct autoconfig *autoconfig = ctx;
        struct http_answer answer = { 0 };

        if (!autoconfig->self)
                return; /* cancelled, and about to be freed */
        if (why->code == CAUSE_NONE) {
                answer = http_post_answer(session_engine(autoconfig->session));
                (void)cause_set(&autoconfig->why, CAUSE_NOT_FOUND, "%s: the server answers with status %u",
                                autoconfig->url, answer.status);
        } else {
                autoconfig->why = *why;
                cause_prefix(&autoconfig->why, "%s: ", autoconfig->url);
        }
        if (answer.status == 200 && answer.len) {
                scoped(scoped_free) char *text = copy_bytes((const char *)answer.body, answer.len);
                end(autoconfig, text, NULL);
                return;
        }
        loop_later_to(autoconfig->self, try_next); /* not from inside the session */
}

static const struct session_user session_user = { .again = new_engine, .ended = ended };

/* A session with the defaults of an outgoing account and without an account: no challenge is recorded. */
static void open_session(struct autoconfig *autoconfig)
{
        struct property_values values;
        struct session_plan plan;

        properties_defaults(&values, KIND_OUTGOING);
        values.of[PROP_CONNECTION_TIMEOUT].number = CONNECT_SECONDS;
        session_plan_of(&values, &plan);
        plan.host = autoconfig->at.host;
        plan.port = autoconfig->at.port;
        plan.ssl = true;
        plan.starttls = false;
        plan.alpn = "http/1.1";
        plan.record = false;
        autoconfig->session = session_open(&plan, new_engine(autoconfig), &session_user, autoconfig);
        properties_done(&values);
}

/* By way of the loop, since it closes the session whose callback asked for it. */
static void try_next(void *object)
{
        struct autoconfig *autoconfig = object;

        if (autoconfig->session)
                session_close(take(autoconfig->session));
        http_place_done(&autoconfig->at);
        free(take(autoconfig->url));
        if (autoconfig->place == count_of(places)) {
                end(autoconfig, NULL, &autoconfig->why);
                return;
        }
        autoconfig->url = text_of("%s%s%s", places[autoconfig->place].before, autoconfig->domain,
                                  places[autoconfig->place].behind);
        autoconfig->place++;
        if (http_place_of(autoconfig->url, &autoconfig->at, &autoconfig->why) < 0)
                loop_later_to(autoconfig->self, try_next);
        else
                open_session(autoconfig);
}

struct autoconfig *autoconfig_fetch(const char *domain,
                                    void (*done)(void *ctx, const char *url, const char *text,
                                                 const struct cause *why),
                                    void *ctx)
{
        struct autoconfig *autoconfig = new_object(struct autoconfig);

        autoconfig->self = handle_new(autoconfig);
        autoconfig->domain = copy_text(domain);
        autoconfig->done = done;
        autoconfig->ctx = ctx;
        loop_later_to(autoconfig->self, try_next);
        return autoconfig;
}

/* `done` is not called any more. Freed on the loop's next turn: the caller may be inside the session. */
void autoconfig_cancel(struct autoconfig *autoconfig)
{
        autoconfig->done = NULL;
        handle_drop(&autoconfig->self);
        loop_later(autoconfig_free, autoconfig);
}
