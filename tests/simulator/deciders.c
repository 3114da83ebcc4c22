/* SPDX-License-Identifier: MIT */
/*
 * Who decides about certificates; see deciders.h. What the station has answered "done" to is compared with
 * its list at each visit: a decision that was answered is kept.
 */
#include "tests/simulator/deciders.h"

#include "common/times.h"
#include "tests/simulator/base64.h"
#include "tests/simulator/beside.h"
#include "tests/simulator/calls.h"
#include "tests/simulator/witness.h"
#include "tests/simulator/world.h"

#include <stdio.h>

enum standing { STANDS_UNSURE, STANDS_APPROVED, STANDS_REJECTED };

struct record { /* of an entry of the Allowed Hosts that somebody decided */
        char id[16], host[64], fingerprint[65];
        uint16_t port;
        unsigned problems;
        enum standing standing;
        int64_t since; /* when it was answered */
        bool calling;
        enum witness_word asked;
        unsigned prunes; /* the office's when it was asked */
        struct record *next;
};

struct office {
        struct record *records;
        char plant[65]; /* fingerprint of the imported authority; "": not imported */
        bool visiting;
        unsigned prunes; /* begun and answered */
};
static struct office *office;

/* ---- remembering ---- */

static struct record *record_of(const char *id)
{
        struct record *record = office->records;

        while (record && !same_text(record->id, id))
                record = record->next;
        return record;
}

static unsigned problems_of(json_t *entry)
{
        static const struct {
                const char *code;
                unsigned problem;
        } codes[] = {
                { "unknownIssuer", WITNESS_ISSUER }, { "selfSigned", WITNESS_ISSUER },
                { "wrongName", WITNESS_NAME },       { "expired", WITNESS_EXPIRED },
                { "notYetValid", WITNESS_NOT_YET },
        };
        unsigned set = 0;
        size_t i;
        json_t *error;

        json_array_foreach(json_object_get(entry, "errors"), i, error)
                for (size_t k = 0; k < count_of(codes); k++)
                        if (same_text(codes[k].code, json_string_value(json_object_get(error, "code"))))
                                set |= codes[k].problem;
        return set;
}

static struct record *record_for(json_t *entry)
{
        const char *id = json_string_value(json_object_get(entry, "id"));
        struct record *record = record_of(id);

        if (!record) {
                record = world_alloc(sizeof *record);
                (void)snprintf(record->id, sizeof record->id, "%s", id);
                (void)snprintf(record->host, sizeof record->host, "%s",
                               json_string_value(json_object_get(entry, "host")));
                (void)snprintf(record->fingerprint, sizeof record->fingerprint, "%s",
                               json_string_value(json_object_get(json_object_get(entry, "certificate"),
                                                                 "fingerprintSha256")));
                record->port = (uint16_t)json_integer_value(json_object_get(entry, "port"));
                record->next = office->records;
                office->records = record;
        }
        record->problems |= problems_of(entry);
        return record;
}

/* Those that may be others by now. */
static void unsure_about(const char *host)
{
        for (struct record *record = office->records; record; record = record->next)
                if (!host || same_text(record->host, host))
                        record->standing = STANDS_UNSURE;
}

static json_t *entry_of(json_t *entries, const char *id)
{
        size_t i;
        json_t *entry;

        json_array_foreach(entries, i, entry)
                if (same_text(json_string_value(json_object_get(entry, "id")), id))
                        return entry;
        return NULL;
}

/* ---- deciding ---- */

static void decided(void *ctx, json_t *reply, const char *error)
{
        struct record *record = ctx;

        record->calling = false;
        history("decider", "%s:%u is %s: %s", record->host, record->port,
                record->asked == WORD_APPROVED   ? "approved"
                : record->asked == WORD_REJECTED ? "rejected"
                                                 : "unapproved",
                reply   ? "done"
                : error ? error
                        : "no answer");
        if (!reply)
                return;
        unsure_about(record->host);
        record->standing = record->asked == WORD_APPROVED ? STANDS_APPROVED : STANDS_REJECTED;
        record->since = world_now();
        if (record->asked == WORD_DELETED || record->prunes != office->prunes)
                record->standing = STANDS_UNSURE; /* answers come in another order than they were made */
        if (record->asked != WORD_APPROVED)
                witness_decides(record->host, record->port, record->fingerprint, 0, record->asked);
}

static void decide(json_t *entry, enum witness_word word)
{
        static const char *const methods[] = { [WORD_APPROVED] = TRUST_METHOD "Approve",
                                               [WORD_REJECTED] = TRUST_METHOD "Reject",
                                               [WORD_DELETED] = TRUST_METHOD "DeleteAllowedHost" };
        struct record *record = record_for(entry);
        json_t *what = json_pack("{ss}", "id", record->id);

        if (record->calling) {
                json_decref(what);
                return;
        }
        record->calling = true;
        record->standing = STANDS_UNSURE;
        record->asked = word;
        record->prunes = office->prunes;
        if (word == WORD_APPROVED) {
                json_object_set_new(what, "fingerprint", json_string(record->fingerprint));
                witness_decides(record->host, record->port, record->fingerprint, record->problems, word);
        }
        station_call(methods[word], what, NULL, 0, decided, record);
}

static void look_at(json_t *entry)
{
        const char *state = json_string_value(json_object_get(entry, "state"));

        if (beside_has(json_string_value(json_object_get(entry, "host"))))
                return; /* it heals by itself, or does not */
        if (same_text(state, "pending") && chance_permille("decider", 700))
                decide(entry, chance_permille("decider", 650) ? WORD_APPROVED : WORD_REJECTED);
        else if (!same_text(state, "pending") && feature("people.change-decision", 40) &&
                 chance_permille("decider", 60))
                decide(entry, same_text(state, "approved") && chance_permille("decider", 500) ? WORD_REJECTED
                                                                                              : WORD_DELETED);
}

/* An approval may have come to its end: by a clock that is wrong, or was, the certificate has another
 * problem, which nobody has answered; and it ends with its certificate. */
static bool may_have_ended(const struct record *record, json_t *entry)
{
        const char *until =
                json_string_value(json_object_get(json_object_get(entry, "certificate"), "notAfter"));
        int64_t now = (int64_t)world_time() + machine_clock_error();
        time_t end = 0;

        return machine_clock_error() || machine_clock_set_at() >= record->since ||
               (until && time_parse(until, &end, NULL) == 0 && (int64_t)end <= now);
}

/* What was answered stands. */
static void compare(json_t *entries)
{
        for (struct record *record = office->records; record; record = record->next) {
                json_t *entry = entry_of(entries, record->id);
                const char *state = json_string_value(json_object_get(entry, "state"));
                const char *right = record->standing == STANDS_APPROVED ? "approved" : "rejected";
                if (record->standing == STANDS_APPROVED && same_text(state, "pending") &&
                    may_have_ended(record, entry))
                        record->standing = STANDS_UNSURE;
                if (record->standing != STANDS_UNSURE && !record->calling && !same_text(state, right))
                        violated("decision.kept", "the entry %s of %s:%u was answered to be %s, and is %s",
                                 record->id, record->host, record->port, right, state ? state : "gone");
        }
}

static void pruned(void *ctx, json_t *reply, const char *error)
{
        (void)ctx;
        (void)error;
        unsure_about(NULL);
        office->prunes++;
        history("decider", "prunes: %s", reply ? "done" : "not done");
}

static void listed(void *ctx, json_t *reply, const char *error)
{
        json_t *entries = json_object_get(reply, "entries"), *entry;
        size_t i;

        (void)ctx;
        (void)error;
        office->visiting = false;
        if (!reply)
                return;
        compare(entries);
        if (!world_is_honest() && feature("people.decide", 85))
                json_array_foreach(entries, i, entry)
                        look_at(entry);
        if (world_is_honest() || (feature("people.prune", 50) && chance_permille("decider", 100))) {
                unsure_about(NULL);
                office->prunes++;
                station_call(TRUST_METHOD "Prune", json_object(), NULL, 0, pruned, NULL);
        }
}

/* ---- the plant's authority ---- */

static void imported(void *ctx, json_t *reply, const char *error)
{
        json_t *result = json_array_get(json_object_get(reply, "results"), 0);
        const char *fingerprint = json_string_value(json_object_get(result, "fingerprintSha256"));

        (void)ctx;
        (void)error;
        if (fingerprint)
                (void)snprintf(office->plant, sizeof office->plant, "%s", fingerprint);
        history("decider", "imports the plant's CA: %s", fingerprint ? "done" : "not done");
}

static void removed(void *ctx, json_t *reply, const char *error)
{
        (void)ctx;
        (void)error;
        if (reply) {
                office->plant[0] = '\0';
                witness_imports_plant(false);
        }
        history("decider", "removes the plant's CA: %s", reply ? "done" : "not done");
}

static void change_anchors(void)
{
        scoped(scoped_free) char *text = base64_written(certs_plant_pem(), strlen(certs_plant_pem()));

        if (office->plant[0]) {
                station_call(TRUST_METHOD "DeleteAnchor", json_pack("{ss}", "fingerprint", office->plant),
                             NULL, 0, removed, NULL);
                return;
        }
        witness_imports_plant(true);
        station_call(TRUST_METHOD "ImportAnchors", json_pack("{ss}", "certificates", text), NULL, 0, imported,
                     NULL);
}

static void on_visit(void *ctx)
{
        (void)ctx;
        if (daemon_is_ready() && !office->visiting) {
                office->visiting = true;
                station_call(TRUST_METHOD "ListAllowedHosts", json_object(), NULL, 0, listed, NULL);
                if (!world_is_honest() && feature("people.import", 50) && chance_permille("decider", 40))
                        change_anchors();
        }
        world_in(chance_about("decider", 2 * HOUR_MS), on_visit, NULL);
}

void deciders_open(void)
{
        office = world_alloc(sizeof *office);
        world_in(chance_about("decider", 2 * HOUR_MS), on_visit, NULL);
}
