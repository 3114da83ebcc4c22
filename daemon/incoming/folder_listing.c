/* SPDX-License-Identifier: MIT */
/* A session that lists the folders of a mailbox; see folder_listing.h. */
#include "daemon/incoming/folder_listing.h"

#include "common/json_fields.h"
#include "common/names.h"
#include "daemon/accounts/secrets.h"
#include "daemon/imap/session.h"
#include "daemon/loop.h"
#include "daemon/session/session.h"
#include "daemon/session/signin.h"
#include "daemon/session/token.h"

struct folder_listing {
        struct account *account; /* held */
        struct session *session;
        struct token_wait *token;
        struct signin signin; /* texts owned */
        json_t *folders;
        bool listed, over;
        void (*done)(void *ctx, json_t *folders, const struct cause *cause);
        void *ctx;
};

static void free_listing(void *ctx)
{
        struct folder_listing *listing = ctx;

        account_release(listing->account);
        signin_done(&listing->signin);
        json_decref(listing->folders);
        free(listing);
}

static void finish(struct folder_listing *listing, const struct cause *cause)
{
        struct cause why = cause ? *cause : cause_none;

        if (listing->over)
                return;
        listing->over = true;
        token_wait_cancel(take(listing->token));
        if (listing->session)
                session_close(take(listing->session));
        cause_of_account(&why, listing->account->name);
        if (listing->done)
                listing->done(listing->ctx, cause ? NULL : listing->folders, cause ? &why : NULL);
        loop_later(free_listing, listing);
}

void folder_listing_cancel(struct folder_listing *listing)
{
        listing->done = NULL;
        finish(listing, NULL);
}

/* ---- what the session tells ---- */

static void folder_told(void *ctx, const char *name, bool selectable)
{
        struct folder_listing *listing = ctx;
        json_t *folder = json_object();

        json_put_text(folder, "name", name);
        json_put(folder, "selectable", json_boolean(selectable));
        json_put(folder, "fetched",
                 json_boolean(names_have(prop_text(&listing->account->values, PROP_FOLDER), name)));
        (void)json_array_append_new(listing->folders, folder);
}

static void all_told(void *ctx)
{
        struct folder_listing *listing = ctx;

        listing->listed = true;
        session_quit(listing->session);
}

static const struct mailbox_user mailbox_user = { .folder = folder_told, .folders_listed = all_told };

static void ready(void *ctx)
{
        struct folder_listing *listing = ctx;

        imap_mailbox.folders(session_engine(listing->session), "*");
}

static struct engine *new_engine(void *ctx)
{
        struct folder_listing *listing = ctx;
        struct imap_config config = { listing->signin,
                                      prop_bool(&listing->account->values, PROP_USE_STARTTLS), &mailbox_user,
                                      listing };

        return imap_session_new(&config);
}

static void reached(void *ctx unused_arg, enum session_mark mark unused_arg,
                    const struct verdict *verdict unused_arg)
{
}

/* How the good-bye goes is no matter. */
static void ended(void *ctx, const struct cause *why, const char *challenge_id unused_arg)
{
        struct folder_listing *listing = ctx;
        struct cause cause = *why;

        if (cause.code == CAUSE_NONE)
                cause_set(&cause, CAUSE_CLOSED, "the server closed the connection");
        finish(listing, listing->listed ? NULL : &cause);
}

static const struct session_user session_user = {
        .again = new_engine, .reached = reached, .ready = ready, .ended = ended
};

static void start(void *ctx);

static void token_is_there(void *ctx, const struct cause *cause, const char *challenge_id unused_arg)
{
        struct folder_listing *listing = ctx;

        listing->token = NULL;
        if (cause->code)
                finish(listing, cause);
        else
                start(listing);
}

static void start(void *ctx)
{
        struct folder_listing *listing = ctx;
        const struct property_values *values = &listing->account->values;
        struct cause cause = { 0 };
        struct session_plan plan;

        if (listing->over)
                return;
        if (!prop_is(values, WORD_IMAP)) {
                cause_set(&cause, CAUSE_STATE, "only IMAP has folders, and account %s has transport %s",
                          listing->account->name, prop_text(values, PROP_TRANSPORT));
                cause_remedy(&cause, "nothing to do: %s",
                             account_is_outgoing(listing->account)
                                     ? "mail is received by an incoming account"
                                     : "a POP3 mailbox has no folders, all of it is fetched");
                finish(listing, &cause);
                return;
        }
        if (token_due(values)) {
                listing->token = token_await(values, false, token_is_there, listing);
                return;
        }
        if (signin_of(values, &listing->signin, &cause) < 0) {
                finish(listing, &cause);
                return;
        }
        session_plan_of(values, &plan);
        listing->session = session_open(&plan, new_engine(listing), &session_user, listing);
}

struct folder_listing *folder_listing_new(struct account *account,
                                          void (*done)(void *ctx, json_t *folders, const struct cause *cause),
                                          void *ctx)
{
        struct folder_listing *listing = new_object(struct folder_listing);

        listing->account = account_hold(account);
        listing->folders = json_array();
        listing->done = done;
        listing->ctx = ctx;
        loop_later(start, listing); /* never calls back before it returns */
        return listing;
}
