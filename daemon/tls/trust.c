/* SPDX-License-Identifier: MIT */
/*
 * The anchors in memory, the X509_STORE made of them, and the trust generation. Anchors of the User Trust
 * Store are marked as trusted for TLS servers one by one, so that an imported intermediate or self-signed
 * server certificate is an anchor while those of the system count only where a chain really ends.
 *
 * Loop only. Fail closed: a store that cannot be read leaves `stores.fault`, by which every verdict is bad
 * (judge.c); an empty one would look like "nothing to verify by". The order of a change is disk, anchors in
 * memory, new X509_STORE, generation, subscriber: who hears of it already judges by the new store.
 */
#include "daemon/tls/trust.h"

#include "common/json_fields.h"
#include "common/names.h"
#include "daemon/store/replace_file.h"
#include "daemon/tls/context.h"
#include "daemon/tls/keys.h"
#include "daemon/tls/tickets.h"
#include "daemon/tls/trust_parts.h"

#include <openssl/objects.h>

static struct trust_stores stores;
static char *state_directory; /* NULL: closed */
static uint64_t generation = 1;
static uint64_t anchors_generation = 1; /* the first with the present anchors */
static void (*subscriber)(void *ctx, const char *why);
static void *subscriber_ctx;

/* ---- the generation -------------------------------------------------------------------------- */

uint64_t trust_generation(void)
{
        return generation;
}

uint64_t trust_anchors_generation(void)
{
        return anchors_generation;
}

void trust_on_change(void (*changed)(void *ctx, const char *why), void *ctx)
{
        subscriber = changed;
        subscriber_ctx = ctx;
}

/* Tickets go first: a resumed session would carry the old decision on. */
void trust_changed(const char *why)
{
        generation++;
        tickets_drop_all();
        if (subscriber)
                subscriber(subscriber_ctx, why);
}

/* ---- the store ------------------------------------------------------------------------------- */

static void add_anchors(X509_STORE *store, const struct anchors *anchors, bool explicitly)
{
        for (size_t i = 0; i < anchors->count; i++) {
                X509 *x509 = anchors->items[i].x509;
                if (explicitly) {
                        X509_trust_clear(x509);
                        if (X509_add1_trust_object(x509, OBJ_nid2obj(NID_server_auth)) != 1)
                                abort();
                }
                if (X509_STORE_add_cert(store, x509) != 1)
                        abort();
        }
}

/* One X509_STORE of everything, in place of the last; the generation that trust_changed() makes of it is
 * told. The user's come first: of two equal certificates the store keeps the first. */
static void rebuild(void)
{
        X509_STORE *store = X509_STORE_new();
        int lists = sk_X509_CRL_num(stores.revocation_lists);

        if (!store)
                abort();
        add_anchors(store, &stores.user, true);
        add_anchors(store, &stores.system, false);
        for (int i = 0; i < lists; i++)
                if (X509_STORE_add_crl(store, sk_X509_CRL_value(stores.revocation_lists, i)) != 1)
                        abort();
        if (lists > 0)
                (void)X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
        context_use_store(store);
        X509_STORE_free(store);
        anchors_generation = generation + 1;
}

/* What cannot be read takes the place of what was there: the files say what is trusted, and nobody knows
 * them now. */
static int read_all(const struct trust_settings *settings, struct cause *cause)
{
        struct trust_stores fresh;
        int result = trust_stores_read(settings, &stores, &fresh);

        trust_stores_done(&stores);
        stores = fresh;
        if (result < 0 && cause)
                *cause = stores.fault;
        keys_open(settings->state_directory);
        rebuild();
        trust_bundle_resume(take(stores.pending));
        return result;
}

int trust_open(const struct trust_settings *settings, struct cause *cause)
{
        trust_close();
        state_directory = copy_text(settings->state_directory);
        int result = read_all(settings, cause);
        anchors_generation = generation; /* nothing was judged before */
        return result;
}

int trust_reload(const struct trust_settings *settings, struct cause *cause)
{
        int result = read_all(settings, cause);

        trust_changed("the trust stores were read again");
        return result;
}

/* Read beside the present stores: while the fault lasts nothing changes but its words. */
int trust_try_again(const struct trust_settings *settings)
{
        struct trust_stores fresh;

        if (!trust_fault()) {
                if (!keys_unread())
                        return 0;
                keys_open(settings->state_directory);
                if (keys_unread())
                        return -1;
                trust_changed("the client keys can be read again");
                return 1;
        }
        if (trust_stores_read(settings, &stores, &fresh) < 0) {
                stores.fault = fresh.fault;
                trust_stores_done(&fresh);
                return -1;
        }
        trust_stores_done(&stores);
        stores = fresh;
        keys_open(settings->state_directory);
        rebuild();
        trust_bundle_resume(take(stores.pending));
        trust_changed("the trust stores can be read again");
        return 1;
}

void trust_close(void)
{
        tickets_drop_all();
        trust_bundle_close();
        context_close();
        keys_close();
        trust_stores_done(&stores);
        free(take(state_directory));
}

const struct cause *trust_fault(void)
{
        return stores.fault.code == CAUSE_NONE ? NULL : &stores.fault;
}

const struct cause *trust_pending_fault(void)
{
        return stores.pending_unread ? &stores.fault : NULL;
}

size_t trust_imported(void)
{
        return stores.user.count;
}

size_t trust_skipped(void)
{
        return stores.skipped;
}

/* The system first: a certificate that both hold needs no help of a person's. */
enum anchor_kind trust_anchor(const uint8_t sha256[32])
{
        if (trust_anchors_find(&stores.system, sha256))
                return ANCHOR_SYSTEM;
        return trust_anchors_find(&stores.user, sha256) ? ANCHOR_USER : ANCHOR_NONE;
}

/* ---- looking --------------------------------------------------------------------------------- */

static json_t *anchor_json(const struct anchor *anchor, bool user)
{
        json_t *object = json_object();
        struct certificate certificate;
        char digest[65];

        certificate_from_x509(anchor->x509, &certificate);
        hex_print(anchor->sha256, 32, digest);
        json_put_text(object, "store", user ? "user" : "system");
        json_put_text(object, "fingerprintSha256", digest);
        json_put(object, "certificate", certificate_json(&certificate));
        certificate_done(&certificate);
        return object;
}

json_t *trust_list(bool system)
{
        const struct anchors *anchors = trust_anchors(!system);
        json_t *list = json_array();

        for (size_t i = 0; i < anchors->count; i++)
                if (json_array_append_new(list, anchor_json(&anchors->items[i], !system)) < 0)
                        abort();
        return list;
}

/* How many anchors of a store begin with these digits; the last of them in *out. */
static size_t begin_with(const struct anchors *anchors, const char *digits, const struct anchor **out)
{
        size_t found = 0;
        char digest[65];

        for (size_t i = 0; i < anchors->count; i++) {
                hex_print(anchors->items[i].sha256, 32, digest);
                if (strncmp(digest, digits, strlen(digits)) == 0) {
                        *out = &anchors->items[i];
                        found++;
                }
        }
        return found;
}

/* A beginning that fits one of the user's and several of the system's means the user's. */
static const struct anchor *find_anchor(const char *fingerprint, bool *out_user, struct cause *cause)
{
        scoped(scoped_free) char *digits = fingerprint_normal(fingerprint);
        const struct anchor *anchor = NULL;

        if (!digits || !*digits) {
                cause_about(cause, CAUSE_INVALID, "fingerprint",
                            "\"%s\" is no fingerprint: hex digits are wanted", fingerprint);
                return NULL;
        }
        for (int user = 1; user >= 0; user--) {
                size_t found = begin_with(trust_anchors(user), digits, &anchor);
                *out_user = user;
                if (found > 1)
                        cause_set(cause, CAUSE_AMBIGUOUS, "%zu certificates begin with %s", found, digits);
                if (found)
                        return found == 1 ? anchor : NULL;
        }
        (void)cause_missing(cause, MISSING_ANCHOR, "", digits);
        return NULL;
}

json_t *trust_get(const char *fingerprint, struct cause *cause)
{
        bool user = false;
        const struct anchor *anchor = find_anchor(fingerprint, &user, cause);

        return anchor ? anchor_json(anchor, user) : NULL;
}

/* ---- changing -------------------------------------------------------------------------------- */

const struct anchors *trust_anchors(bool user)
{
        return user ? &stores.user : &stores.system;
}

bool trust_is_open(void)
{
        return state_directory != NULL;
}

char *trust_place(const char *name)
{
        return text_of("%s/trust/%s", state_directory, name);
}

char *trust_file_name(const uint8_t sha256[32])
{
        char digest[65];

        hex_print(sha256, 32, digest);
        return text_of("%s.pem", digest);
}

/* Their files are on disk. The references are taken over, also when the daemon is ending. */
void trust_take_user_anchors(X509 *const *list, size_t count, const char *why)
{
        for (size_t i = 0; i < count; i++) {
                if (state_directory)
                        trust_anchors_add(&stores.user, list[i]);
                else
                        X509_free(list[i]);
        }
        if (!state_directory || !count)
                return;
        rebuild();
        trust_changed(why);
}

struct deletion {
        char *fingerprint; /* as it was given */
        uint8_t sha256[32];
        json_t *anchor;
        char *who;
        void (*done)(void *ctx, const struct cause *cause, json_t *anchor);
        void *ctx;
};

static void deletion_end(struct deletion *deletion, const struct cause *cause)
{
        deletion->done(deletion->ctx, cause_or_null(cause), cause_happened(cause) ? NULL : deletion->anchor);
        json_decref(deletion->anchor);
        free(deletion->fingerprint);
        free(deletion->who);
        free(deletion);
}

static void deleted(void *ctx, const struct cause *cause)
{
        struct deletion *deletion = ctx;
        const struct cause none = { 0 };

        cause = cause ? cause : &none;
        if (cause->code == CAUSE_NONE && state_directory) {
                char *why =
                        text_of("a certificate was deleted from the User Trust Store by %s", deletion->who);
                trust_anchors_remove(&stores.user, deletion->sha256);
                rebuild();
                trust_changed(why);
                free(why);
        }
        deletion_end(deletion, cause);
}

/* When its turn has come: imports and deletions before it are done, so that the fingerprint is looked up in
 * what is there now. */
static void deletion_begin(void *ctx, const struct cause *refused)
{
        struct deletion *deletion = ctx;
        struct cause cause = { 0 };
        bool user = false;
        const struct anchor *anchor = NULL;

        if (refused)
                cause = *refused;
        else
                anchor = find_anchor(deletion->fingerprint, &user, &cause);

        if (anchor && !user) {
                cause_set(&cause, CAUSE_STATE,
                          "that certificate is in the System Trust Store, which is read only");
                cause_remedy(&cause, "remove it by the means of the distribution, then: emailsecctl reload");
        }
        if (cause.code != CAUSE_NONE) {
                deletion_end(deletion, &cause);
                return;
        }
        memcpy(deletion->sha256, anchor->sha256, 32);
        deletion->anchor = anchor_json(anchor, true);
        scoped(scoped_free) char *name = trust_file_name(anchor->sha256);
        scoped(scoped_free) char *path = trust_place(name);
        replace_file_later(path, NULL, 0, deleted, deletion);
}

void trust_delete(const char *fingerprint, const char *who,
                  void (*done)(void *ctx, const struct cause *cause, json_t *anchor), void *ctx)
{
        struct deletion *deletion = new_object(struct deletion);

        *deletion = (struct deletion){
                .fingerprint = copy_text(fingerprint), .who = copy_text(who), .done = done, .ctx = ctx
        };
        trust_change_begin(deletion_begin, deletion);
}
