/* SPDX-License-Identifier: MIT */
/* Socket methods about accounts. */
#include "common/limits.h"
#include "common/names.h"
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/secrets.h"
#include "daemon/control/call.h"
#include "daemon/control/methods.h"
#include "daemon/control/on_servers.h"
#include "daemon/incoming/receiver.h"
#include "daemon/outgoing/sender.h"
#include "daemon/service/account_view.h"
#include "daemon/service/probe.h"
#include "daemon/service/waiting.h"
#include "daemon/store/store.h"

#include <stdio.h>

enum { LISTED_ON_END = 4 }; /* accounts in one piece of a long reply */

static json_t *entry_of(const struct account *account)
{
        json_t *entry = json_object();

        json_put_text(entry, "name", account->name);
        json_put_text(entry, "kind", prop_text(&account->values, PROP_KIND));
        json_put(entry, "properties", account_json(account));
        json_put(entry, "warnings", account_warnings(account));
        return entry;
}

static json_t *reply_of(const struct account *account)
{
        json_t *reply = json_object();

        json_put(reply, "account", entry_of(account));
        return reply;
}

/* The account of the call's `name`; NULL after the call was failed. */
static struct account *account_of(struct call *call, const char *name)
{
        struct account *account = account_named(name);
        struct cause cause;

        if (!account) {
                (void)cause_missing(&cause, MISSING_ACCOUNT, "name", name);
                call_fail(call, &cause);
        }
        return account;
}

struct account_page {
        struct accounts_walk walk;
        int64_t left;
        bool begun;
};

static bool list_next(void *work, struct json_writer *out)
{
        struct account_page *page = work;
        struct account *account = accounts_walk_on(&page->walk);

        if (!page->begun)
                json_write(out, "{\"accounts\":[");
        for (int i = 0; account && page->left && i < LISTED_ON_END; account = account->next, i++) {
                if (page->begun)
                        json_write(out, ",");
                page->begun = true;
                json_write_value(out, entry_of(account));
                accounts_walk_did(&page->walk, account);
                page->left--;
        }
        if (account && page->left)
                return true;
        json_write(out, "],\"next\":");
        json_write_value(out, account ? json_string(page->walk.at) : json_null());
        json_write(out, "}");
        return false;
}

static void list_end(void *work)
{
        free(work);
}

void on_list_accounts(struct call *call)
{
        static const struct long_reply_user user = { .next = list_next, .end = list_end };
        const struct parameters *in = call_parameters(call);
        struct account_page *page = new_object(struct account_page);

        page->left = in->account_limit;
        if (in->after)
                (void)snprintf(page->walk.at, sizeof page->walk.at, "%s", in->after);
        call_reply_long(call, &user, page);
}

void on_get_account(struct call *call)
{
        const struct account *account = account_of(call, call_parameters(call)->name);

        if (account)
                call_reply(call, reply_of(account));
}

/* ---- changes ---- */

/* What changed when only `enabled` did, and when more did. */
static enum audit_trail_action action_of(const json_t *differences)
{
        const json_t *only = json_array_size(differences) == 1 ? json_array_get(differences, 0) : NULL;

        if (!only || !same_text(json_string_value(json_object_get(only, "property")), "enabled"))
                return TRAIL_ACCOUNT_CHANGED;
        return json_is_true(json_object_get(only, "to")) ? TRAIL_ACCOUNT_ENABLED : TRAIL_ACCOUNT_DISABLED;
}

static void audit_account(struct call *call, const char *name, bool is_new, const json_t *differences)
{
        scoped(scoped_free) char *object = text_of("account %s", name),
                                 *details = audit_trail_differences(differences);

        if (!is_new && json_array_size(differences) == 0) {
                audit_nothing(call);
                return;
        }
        json_t *data = json_object();
        json_put(data, "differences", json_deep_copy(differences));
        enum audit_trail_action action = is_new ? TRAIL_ACCOUNT_ADDED : action_of(differences);
        bool said = action == TRAIL_ACCOUNT_ENABLED || action == TRAIL_ACCOUNT_DISABLED;
        audit(call, &(struct trail){ .action = action,
                                     .about = { .account = name },
                                     .object = object,
                                     .details = said ? NULL : details,
                                     .data = data });
}

static void added(void *ctx, struct account *account, const struct account_changed *what,
                  const struct causes *problems)
{
        struct call *call = ctx;

        if (problems->count) {
                call_fail_problems(call, problems);
                return;
        }
        audit_account(call, account->name, true, what->differences);
        json_t *reply = reply_of(account);
        scoped(scoped_free) char *no_default =
                account_is_outgoing(account) ? accounts_default_missing() : NULL;
        if (no_default)
                (void)json_array_append_new(json_object_get(json_object_get(reply, "account"), "warnings"),
                                            json_string(no_default));
        call_reply(call, reply);
}

static void changed(void *ctx, struct account *account, const struct account_changed *what,
                    const struct causes *problems)
{
        struct call *call = ctx;

        if (problems->count) {
                call_fail_problems(call, problems);
                return;
        }
        audit_account(call, account->name, false, what->differences);
        call_reply(call, reply_of(account));
}

static void deleted(void *ctx, struct account *account, const struct account_changed *what,
                    const struct causes *problems)
{
        struct call *call = ctx;

        if (problems->count) {
                call_fail_problems(call, problems);
                return;
        }
        unsigned long long unsent = what->unsent;
        scoped(scoped_free) char *object = text_of("account %s", account->name);
        scoped(scoped_free) char *details =
                unsent ? text_of("with %llu message%s that had not been sent", unsent, unsent == 1 ? "" : "s")
                       : NULL;
        json_t *data = json_object();
        json_put(data, "unsent", json_integer((json_int_t)unsent));
        audit(call, &(struct trail){ .action = TRAIL_ACCOUNT_DELETED,
                                     .about = { .account = account->name },
                                     .object = object,
                                     .details = details,
                                     .data = data });
        call_reply(call, NULL);
}

void on_add_account(struct call *call)
{
        const struct parameters *in = call_parameters(call);

        accounts_add(in->name, in->kind, in->properties, added, call);
}

void on_set_account(struct call *call)
{
        const struct parameters *in = call_parameters(call);

        accounts_set(in->name, in->properties, changed, call);
}

void on_delete_account(struct call *call)
{
        const struct parameters *in = call_parameters(call);

        accounts_delete(in->name, in->force, deleted, call);
}

/* What was changed is given away as it is written. */
struct changes_reply {
        json_t *changes;
        size_t at;
};

static bool changes_next(void *work, struct json_writer *out)
{
        struct changes_reply *reply = work;
        size_t count = json_array_size(reply->changes);

        if (reply->at == 0)
                json_write(out, "{\"changes\":[");
        for (int i = 0; i < LISTED_ON_END && reply->at < count; i++, reply->at++) {
                if (reply->at)
                        json_write(out, ",");
                json_write_value(out, json_incref(json_array_get(reply->changes, reply->at)));
                (void)json_array_set_new(reply->changes, reply->at, json_null());
        }
        if (reply->at < count)
                return true;
        json_write(out, "]}");
        return false;
}

static void changes_end(void *work)
{
        struct changes_reply *reply = work;

        json_decref(reply->changes);
        free(reply);
}

/* One record for each account that is another one now. */
static void apply_changed(void *ctx, const char *name, bool is_new, const json_t *differences)
{
        audit_account(ctx, name, is_new, differences);
}

static void applied(void *ctx, json_t *changes, const struct causes *problems)
{
        static const struct long_reply_user user = { .next = changes_next, .end = changes_end };
        struct call *call = ctx;

        if (problems->count) {
                call_fail_problems(call, problems);
                return;
        }
        struct changes_reply *reply = new_object(struct changes_reply);
        reply->changes = json_incref(changes);
        audit_nothing(call); /* what changed is in the trail by now */
        call_reply_long(call, &user, reply);
}

void on_apply(struct call *call)
{
        static const struct apply_user user = { .changed = apply_changed, .done = applied };
        const struct parameters *in = call_parameters(call);

        accounts_apply(in->account_list, in->dry_run, &user, call);
}

/* ---- secrets ---- */

struct setting {
        struct call *call;
        char *account, *kind, *credential; /* credential: where one was named */
        bool clear;
};

static void setting_free(struct setting *setting)
{
        free(setting->account);
        free(setting->kind);
        free(setting->credential);
        free(setting);
}

/* That it was, and where it comes from: never what it is. */
static void audit_secret(const struct setting *setting)
{
        scoped(scoped_free) char *object = text_of("%s of account %s", setting->kind, setting->account);
        scoped(scoped_free) char *details =
                setting->credential ? text_of("it is the service's credential %s", setting->credential)
                                    : NULL;
        json_t *data = json_object();

        json_put_text(data, "secret", setting->kind);
        json_put_text(data, "credential", setting->credential);
        audit(setting->call,
              &(struct trail){ .action = setting->clear ? TRAIL_SECRET_CLEARED : TRAIL_SECRET_SET,
                               .about = { .account = setting->account },
                               .object = object,
                               .details = details,
                               .data = data });
}

/* A credential that the service was not given is kept all the same, the unit may be made ready later; but
 * said at once. */
static json_t *credential_reply(const struct setting *setting)
{
        struct cause cause = { 0 };
        json_t *reply = json_object();

        if (setting->credential && !secret_get(setting->account, setting->kind, &cause))
                json_put(reply, "warning", cause_json(&cause));
        return reply;
}

static void password_set(void *ctx, const struct cause *cause)
{
        struct setting *setting = ctx;
        struct account *account = account_named(setting->account);

        if (cause_happened(cause)) {
                call_fail(setting->call, cause);
        } else {
                if (account && !account->unreadable)
                        account_tell_changed(account);
                audit_secret(setting);
                call_reply(setting->call, credential_reply(setting));
        }
        setting_free(setting);
}

/* `password`: without a line end after it; NULL: none was given. */
static int check_password(const struct parameters *in, const char *password, struct cause *cause)
{
        if (!secret_kind_valid(in->secret))
                return cause_about(cause, CAUSE_INVALID, "secret", "there is no secret of that kind");
        if (!!password + !!in->credential + in->clear != 1)
                return cause_about(cause, CAUSE_INVALID, "password",
                                   "give one of password, credential and clear");
        if (password && (!password[0] || !secret_is_clean(password)))
                return cause_about(cause, CAUSE_INVALID, "password",
                                   "is empty or has control characters in it (a line end?)");
        if (in->credential && !account_name_valid(in->credential))
                return cause_about(cause, CAUSE_INVALID, "credential", "\"%s\" is no name of a credential",
                                   in->credential);
        return 0;
}

void on_set_password(struct call *call)
{
        const struct parameters *in = call_parameters(call);
        struct cause cause;

        if (!account_of(call, in->name))
                return;
        size_t len = in->password ? strlen(in->password) : 0;
        const char *password = in->password ? secret_bare(in->password, &len) : NULL;
        if (check_password(in, password, &cause) < 0) {
                call_fail(call, &cause);
                return;
        }
        struct setting *setting = new_object(struct setting);
        *setting = (struct setting){ .call = call,
                                     .account = copy_text(in->name),
                                     .kind = copy_text(in->secret),
                                     .credential = copy_text(in->credential),
                                     .clear = in->clear };
        secret_set(in->name, in->secret, password, in->credential, password_set, setting);
}

/* ---- poll ---- */

struct polling {
        struct call *call;
        char *account;
        struct poll_result result;
};

static json_t *poll_reply(const char *text, const struct poll_result *result)
{
        json_t *reply = json_object();

        json_put_text(reply, "text", text);
        json_put(reply, "sent", json_integer((json_int_t)result->sent));
        json_put(reply, "received", json_integer((json_int_t)result->received));
        json_put(reply, "left", json_integer((json_int_t)result->left));
        json_put(reply, "failed", json_integer((json_int_t)result->failed));
        return reply;
}

/* What did not go, and why not. */
static char *still_waits(const struct account *account, bool some)
{
        struct waiting waiting = { 0 };

        if (account && account_is_outgoing(account))
                waiting_of(account, &waiting);
        if (!waiting.messages)
                return NULL;
        if (!waiting.reason)
                return text_of(
                        "%s%llu message%s wait%s to be tried again: emailsecctl queue list --account %s",
                        some ? "" : "nothing was sent; ", (unsigned long long)waiting.messages,
                        waiting.messages == 1 ? "" : "s", waiting.messages == 1 ? "s" : "", account->name);
        scoped(scoped_free) char *words = waiting_words(&waiting);
        return text_of("%s%s", some ? "" : "nothing was sent: ", words);
}

static char *poll_text(const struct poll_result *result, const struct account *account)
{
        unsigned long long sent = result->sent, failed = result->failed;
        unsigned long long received = result->received, left = result->left;

        if (left)
                return text_of("received %llu message%s, %llu left at the server as too large", received,
                               received == 1 ? "" : "s", left);
        if (received)
                return text_of("received %llu message%s", received, received == 1 ? "" : "s");
        scoped(scoped_free) char *left_here = still_waits(account, sent || failed);
        if (sent || failed)
                return text_of("sent %llu message%s, %llu failed%s%s", sent, sent == 1 ? "" : "s", failed,
                               left_here ? "; " : "", left_here ? left_here : "");
        const char *nothing = account && account_is_outgoing(account)
                                      ? "nothing waits to be sent; the account works"
                                      : "there was nothing new";
        return copy_text(left_here ? left_here : nothing);
}

/* Counters and times are on disk as well now, or cannot get there. */
static void poll_settled(void *ctx, const struct cause *cause)
{
        scoped(scoped_free) struct polling *polling = ctx;
        const struct poll_result *result = &polling->result;

        if (cause_happened(&result->cause))
                call_fail(polling->call, &result->cause);
        else if (cause)
                call_fail(polling->call, cause);
        else {
                scoped(scoped_free) char *text = poll_text(result, account_named(polling->account));
                call_reply(polling->call, poll_reply(text, result));
        }
        free(polling->account);
}

static void polled(void *ctx, const struct poll_result *result)
{
        struct polling *polling = ctx;

        polling->result = *result;
        store_settle(poll_settled, polling);
}

static void polled_unwatched(void *ctx, const struct poll_result *result)
{
        (void)ctx;
        (void)result; /* status, journal and events tell how it went */
}

void on_poll(struct call *call)
{
        const struct parameters *in = call_parameters(call);
        struct account *account = account_of(call, in->name);

        if (!account)
                return;
        if (account->unreadable) {
                call_fail(call, account->cause);
                return;
        }
        void (*done)(void *, const struct poll_result *) = in->wait ? polled : polled_unwatched;
        struct polling *polling = in->wait ? new_object(struct polling) : NULL;
        if (polling)
                *polling = (struct polling){ .call = call, .account = copy_text(account->name) };
        if (account->sender)
                sender_poll(account->sender, done, polling);
        else
                receiver_poll(account->receiver, done, polling);
        if (!in->wait)
                call_reply(call, poll_reply("started", &(struct poll_result){ 0 }));
}

/* ---- test and probe ---- */

struct testing {
        struct call *call;
        struct probe *probe;
        json_t *last; /* held back: the last step is the final reply */
};

static void step_told(void *ctx, json_t *step)
{
        struct testing *testing = ctx;
        json_t *before = testing->last;

        testing->last = steps_reply(step);
        if (before)
                call_reply_part(testing->call, before);
}

static void test_done(void *ctx, bool good)
{
        struct testing *testing = ctx;

        (void)good;
        call_reply(testing->call, testing->last);
        free(testing);
}

static void test_cancelled(void *work)
{
        struct testing *testing = work;

        probe_cancel(testing->probe);
        json_decref(testing->last);
        free(testing);
}

static const struct probe_user testing_user = { .step = step_told, .done = test_done };

static struct testing *testing_new(struct call *call)
{
        struct testing *testing = new_object(struct testing);

        testing->call = call;
        call_on_cancel(call, test_cancelled, testing);
        return testing;
}

void on_test_account(struct call *call)
{
        struct account *account = account_of(call, call_parameters(call)->name);

        if (!account)
                return;
        if (account->unreadable) {
                call_fail(call, account->cause);
                return;
        }
        struct testing *testing = testing_new(call);
        testing->probe = probe_account(account, &testing_user, testing);
}

/* What the port alone says, where transport or security are not given. */
static void guess_probe(struct parameters *in)
{
        const char *transport, *security;

        if (port_means((uint16_t)in->port, &transport, &security)) {
                if (!in->transport)
                        in->transport = transport;
                if (!in->security && strcmp(in->transport, transport) == 0)
                        in->security = security;
        }
        if (!in->transport)
                in->transport = "smtp";
        if (!in->security)
                in->security = "ssl";
}

static bool is_word(const char *word, const char *const *words)
{
        for (; *words; words++)
                if (strcmp(word, *words) == 0)
                        return true;
        return false;
}

void on_probe(struct call *call)
{
        static const char *const transports[] = { "smtp", "imap", "pop3", NULL };
        static const char *const securities[] = { "ssl", "starttls", "none", NULL };
        struct parameters in = *call_parameters(call);
        struct causes problems = { 0 };

        guess_probe(&in);
        struct cause host_cause = { 0 };
        scoped(scoped_free) char *host = host_normal(in.host, &host_cause);
        if (!host)
                cause_about(causes_add(&problems), CAUSE_INVALID, "host", "%s", host_cause.text);
        if (!is_word(in.transport, transports))
                cause_about(causes_add(&problems), CAUSE_INVALID, "transport",
                            "\"%s\" is not smtp, imap or pop3", in.transport);
        if (!is_word(in.security, securities))
                cause_about(causes_add(&problems), CAUSE_INVALID, "security",
                            "\"%s\" is not ssl, starttls or none", in.security);
        if (problems.count) {
                call_fail_problems(call, &problems);
        } else {
                struct testing *testing = testing_new(call);
                testing->probe = probe_server(host, (uint16_t)in.port, in.transport, in.security,
                                              &testing_user, testing);
        }
        causes_free(&problems);
}
