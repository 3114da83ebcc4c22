/* SPDX-License-Identifier: MIT */
/* Socket methods about trust: the Allowed Hosts, the anchors of the trust stores, what servers showed. */
#include "common/limits.h"
#include "common/times.h"
#include "daemon/control/call.h"
#include "daemon/control/methods.h"
#include "daemon/events.h"
#include "daemon/session/server_certificates.h"
#include "daemon/tls/allowed.h"
#include "daemon/tls/trust.h"

/* Takes over `value`. */
static json_t *wrapped(const char *name, json_t *value)
{
        json_t *reply = json_object();

        json_put(reply, name, value);
        return reply;
}

/* ---- Allowed Hosts ---- */

void on_list_allowed_hosts(struct call *call)
{
        const char *state = call_parameters(call)->state;
        struct cause cause;

        if (allowed_fault()) {
                call_fail(call, allowed_fault());
                return;
        }
        if (state && strcmp(state, "pending") != 0 && strcmp(state, "approved") != 0 &&
            strcmp(state, "rejected") != 0) {
                cause_about(&cause, CAUSE_INVALID, "state", "\"%s\" is not pending, approved or rejected",
                            state);
                call_fail(call, &cause);
                return;
        }
        call_reply(call, wrapped("entries", allowed_list(state)));
}

/* The entry that this one would replace is shown beside it: who decides compares the old certificate with
 * the new one. It may have been pruned since. */
void on_get_allowed_host(struct call *call)
{
        struct cause cause;
        json_t *entry = allowed_get(call_parameters(call)->id, &cause);

        if (!entry) {
                call_fail(call, &cause);
                return;
        }
        const char *replaces = json_string_value(json_object_get(entry, "replaces"));
        json_t *replaced = replaces ? allowed_get(replaces, NULL) : NULL;
        json_t *reply = wrapped("entry", entry);
        json_put(reply, "replaced", replaced ? replaced : json_null());
        call_reply(call, reply);
}

/* A decision under way, and what it is in the trail. */
struct deciding {
        struct call *call;
        enum audit_trail_action action;
};

/* Freed by decision_done(), which is called exactly once. */
static struct deciding *deciding_new(struct call *call, enum audit_trail_action action)
{
        struct deciding *deciding = new_object(struct deciding);

        *deciding = (struct deciding){ .call = call, .action = action };
        return deciding;
}

/* "" for what is missing or null: the sentences below leave out what is empty. */
static const char *text_in(const json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));

        return text ? text : "";
}

/* `entry`: as it is now; as it was, when deleted. */
static void audit_decision(const struct deciding *deciding, const json_t *entry)
{
        const json_t *certificate = json_object_get(entry, "certificate");
        long long port = (long long)json_integer_value(json_object_get(entry, "port"));
        const char *reason = text_in(entry, "reason"), *expires = text_in(entry, "expires");
        bool approved = deciding->action == TRAIL_ALLOWED_APPROVED,
             given = approved || deciding->action == TRAIL_ALLOWED_REJECTED;
        struct trail trail = {
                .action = deciding->action,
                .about = { .host = text_in(entry, "host"),
                           .port = (uint16_t)port,
                           .challenge_id = text_in(entry, "id"),
                           .cert_sha256 = text_in(certificate, "fingerprintSha256"),
                           .key_sha256 = text_in(certificate, "publicKeySha256") },
                .data = json_object(),
        };
        scoped(scoped_free) char *object =
                text_of("certificate of %s:%lld (%s, SHA-256 %s)", trail.about.host, port,
                        trail.about.challenge_id, trail.about.cert_sha256);
        scoped(scoped_free) char *was = approved ? text_of("pins the %s%s%s", text_in(entry, "pins"),
                                                           expires[0] ? ", until " : "", expires)
                                        : given  ? copy_text("")
                                                 : text_of("it was %s", text_in(entry, "state"));
        scoped(scoped_free) char *details =
                given && reason[0] ? text_of("%s%sreason: %s", was, was[0] ? "; " : "", reason)
                                   : copy_text(was);
        trail.object = object;
        trail.details = deciding->action == TRAIL_ALLOWED_UNAPPROVED ? NULL : details;
        json_put_text(trail.data, "id", trail.about.challenge_id);
        json_put_text(trail.data, "host", trail.about.host);
        json_put(trail.data, "port", json_integer(port));
        audit(deciding->call, &trail);
}

/* Once allowed-hosts.json is on disk, or could not be written: then nothing was decided. */
static void decision_done(void *ctx, const struct cause *cause, json_t *entry)
{
        scoped(scoped_free) struct deciding *deciding = ctx;

        if (cause_happened(cause)) {
                call_fail(deciding->call, cause);
                return;
        }
        audit_decision(deciding, entry);
        call_reply(deciding->call, wrapped("entry", json_incref(entry)));
}

/* The fingerprint and the errors that the person has seen go along: a certificate that has changed since is
 * not approved by mistake. */
void on_approve(struct call *call)
{
        const struct parameters *in = call_parameters(call);
        bool key = strcmp(in->pins, "key") == 0;
        struct cause cause = { 0 };
        time_t until = 0;

        if (!key && strcmp(in->pins, "certificate") != 0)
                cause_about(&cause, CAUSE_INVALID, "pins", "\"%s\" is not certificate or key", in->pins);
        else if (in->until && time_parse(in->until, &until, &cause) < 0)
                (void)snprintf(cause.property, sizeof cause.property, "until");
        else if (in->until && until == 0) /* which is no end in a decision */
                cause_about(&cause, CAUSE_INVALID, "until", "%s is in the past", in->until);
        if (cause.code) {
                call_fail(call, &cause);
                return;
        }
        struct allowed_decision decision = {
                .id = in->id,
                .what = DECIDE_APPROVE,
                .fingerprint = in->fingerprint,
                .seen = in->errors,
                .pins = key ? PINS_KEY : PINS_CERTIFICATE,
                .until = until,
                .reason = in->reason,
                .who = call_actor(call),
        };
        allowed_decide(&decision, decision_done, deciding_new(call, TRAIL_ALLOWED_APPROVED));
}

void on_reject(struct call *call)
{
        const struct parameters *in = call_parameters(call);
        struct allowed_decision decision = {
                .id = in->id, .what = DECIDE_REJECT, .reason = in->reason, .who = call_actor(call)
        };

        allowed_decide(&decision, decision_done, deciding_new(call, TRAIL_ALLOWED_REJECTED));
}

void on_unapprove(struct call *call)
{
        const char *id = call_parameters(call)->id;
        struct allowed_decision decision = { .id = id, .what = DECIDE_UNAPPROVE, .who = call_actor(call) };

        allowed_decide(&decision, decision_done, deciding_new(call, TRAIL_ALLOWED_UNAPPROVED));
}

void on_delete_allowed_host(struct call *call)
{
        const char *id = call_parameters(call)->id;
        struct allowed_decision decision = { .id = id, .what = DECIDE_DELETE, .who = call_actor(call) };

        allowed_decide(&decision, decision_done, deciding_new(call, TRAIL_ALLOWED_DELETED));
}

/* Whoever prunes nothing has changed nothing. */
static void audit_pruned(struct call *call, json_t *ids)
{
        size_t count = json_array_size(ids);
        scoped(scoped_free) char *object =
                text_of("%zu entr%s of the Allowed Hosts", count, count == 1 ? "y" : "ies");
        scoped(scoped_free) char *details = audit_trail_ids(ids);
        if (!count) {
                audit_nothing(call);
                return;
        }
        json_t *data = json_object();
        json_put(data, "count", json_integer((json_int_t)count));
        audit(call,
              &(struct trail){
                      .action = TRAIL_ALLOWED_PRUNED, .object = object, .details = details, .data = data });
}

static void pruned(void *ctx, const struct cause *cause, json_t *ids)
{
        struct call *call = ctx;

        if (cause_happened(cause)) {
                call_fail(call, cause);
                return;
        }
        audit_pruned(call, ids);
        call_reply(call, wrapped("ids", json_incref(ids)));
}

void on_prune(struct call *call)
{
        allowed_prune(call_actor(call), pruned, call);
}

/* ---- anchors ---- */

/* A store that could not be read is no empty store: the fault is told in place of a list. */
void on_list_anchors(struct call *call)
{
        if (trust_fault())
                call_fail(call, trust_fault());
        else
                call_reply(call, wrapped("anchors", trust_list(call_parameters(call)->system)));
}


void on_get_anchor(struct call *call)
{
        struct cause cause;
        json_t *anchor = trust_get(call_parameters(call)->fingerprint, &cause);

        if (anchor)
                call_reply(call, wrapped("anchor", anchor));
        else
                call_fail(call, &cause);
}

/* `anchor` is an item of an import, or an anchor with its certificate: the subject stands at different
 * depths. */
static void tell_anchor(struct call *call, const json_t *anchor, enum audit_trail_action action,
                        enum event_kind event, const char *words)
{
        const char *fingerprint = json_string_value(json_object_get(anchor, "fingerprintSha256"));
        const char *subject_name = json_string_value(json_object_get(anchor, "subject"));
        json_t *data = json_object();

        if (!subject_name)
                subject_name =
                        json_string_value(json_object_get(json_object_get(anchor, "certificate"), "subject"));
        subject_name = subject_name ? subject_name : "?";
        scoped(scoped_free) char *object =
                text_of("%s (SHA-256 %s)", subject_name, fingerprint ? fingerprint : "?");
        audit(call,
              &(struct trail){ .action = action, .about = { .cert_sha256 = fingerprint }, .object = object });
        json_put_text(data, "fingerprintSha256", fingerprint);
        json_put_text(data, "subject", subject_name);
        event_emit(event, NULL, data, "%s was %s the User Trust Store", subject_name, words);
}

/* Some may be in the store although the call fails in the end: those are in the trail, one record each. */
static void imported(void *ctx, const struct cause *cause, json_t *results)
{
        struct call *call = ctx;
        size_t index;
        json_t *result;

        audit_nothing(call);
        json_array_foreach(results, index, result)
                if (same_text(json_string_value(json_object_get(result, "result")), "imported"))
                        tell_anchor(call, result, TRAIL_ANCHOR_IMPORTED, EVENT_TRUST_IMPORTED,
                                    "imported into");
        if (cause_happened(cause))
                call_fail(call, cause);
        else
                call_reply(call, wrapped("results", json_incref(results)));
}

void on_import_anchors(struct call *call)
{
        const char *certificates = call_parameters(call)->certificates;
        struct cause cause;
        scoped(scoped_free) uint8_t *bytes = NULL;
        size_t len = 0;

        if (base64_decode(certificates, strlen(certificates), &bytes, &len) < 0) {
                cause_about(&cause, CAUSE_INVALID, "certificates", "is not base64");
                call_fail(call, &cause);
        } else if (len > LIMIT_TRUST_IMPORT) {
                cause_about(&cause, CAUSE_TOO_LARGE, "certificates",
                            "%zu bytes: at most %d are taken at once", len, LIMIT_TRUST_IMPORT);
                call_fail(call, &cause);
        } else {
                trust_import(bytes, len, call_actor(call), imported, call);
        }
        if (bytes)
                explicit_bzero(bytes, len); /* someone may have given a private key */
}

static void anchor_deleted(void *ctx, const struct cause *cause, json_t *anchor)
{
        struct call *call = ctx;

        if (cause_happened(cause)) {
                call_fail(call, cause);
                return;
        }
        tell_anchor(call, anchor, TRAIL_ANCHOR_DELETED, EVENT_TRUST_DELETED, "deleted from");
        call_reply(call, wrapped("anchor", json_incref(anchor)));
}

void on_delete_anchor(struct call *call)
{
        trust_delete(call_parameters(call)->fingerprint, call_actor(call), anchor_deleted, call);
}

/* ---- what servers showed ---- */

void on_list_server_certificates(struct call *call)
{
        call_reply(call, wrapped("certificates", certificates_list()));
}
