/* SPDX-License-Identifier: MIT */
/*
 * The Allowed Hosts as the handshake uses them: the evidence for judge(), and what each judged session leaves
 * behind: a challenge recorded or refreshed (security rule 13), an exemption used, exemptions that have
 * become needless (16), exemptions whose time is over (15).
 */
#include "daemon/tls/allowed.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "common/times.h"
#include "daemon/loop.h"
#include "daemon/tls/allowed_list.h"
#include "daemon/tls/clock_doubt.h"
#include "daemon/tls/trust.h"

#include <stdio.h>

/* ---- looking ----------------------------------------------------------------------------------- */

json_t *allowed_list(const char *state)
{
        size_t count;
        struct entry **entries = allowed_list_entries(&count);
        json_t *list = json_array();

        for (size_t i = 0; i < count; i++)
                if (!state || strcmp(state, allowed_state_names[entries[i]->decided.state]) == 0)
                        if (json_array_append_new(list, allowed_entry_json(entries[i])) < 0)
                                abort();
        return list;
}

json_t *allowed_get(const char *id, struct cause *cause)
{
        struct entry *entry = allowed_list_lookup(id, cause);

        return entry ? allowed_entry_json(entry) : NULL;
}

size_t allowed_count(const char *state, bool needless_only)
{
        size_t count, found = 0;
        struct entry **entries = allowed_list_entries(&count);

        for (size_t i = 0; i < count; i++)
                found += (!state || strcmp(state, allowed_state_names[entries[i]->decided.state]) == 0) &&
                         (!needless_only || entry_is_over(entries[i]));
        return found;
}

size_t allowed_waiting(void)
{
        return allowed_count("pending", false) - allowed_count("pending", true);
}

size_t allowed_needless(void)
{
        return allowed_count("pending", true) + allowed_count("approved", true);
}

static bool is_of(const struct entry *entry, const char *host, uint16_t port)
{
        return entry->port == port && strcmp(entry->host, host) == 0;
}

size_t allowed_rulings(const char *host, uint16_t port, struct allowed_ruling **out)
{
        size_t count, found = 0;
        struct entry **entries = allowed_list_entries(&count);

        *out = NULL;
        for (size_t i = 0; i < count; i++) {
                const struct entry *entry = entries[i];
                if (!is_of(entry, host, port))
                        continue;
                *out = new_resized(*out, found + 1, sizeof **out);
                struct allowed_ruling *fact = &(*out)[found++];
                *fact = (struct allowed_ruling){ .state = entry->decided.state,
                                                 .pins = entry->decided.pins,
                                                 .errors = entry->decided.errors,
                                                 .expires = entry->decided.expires };
                memcpy(fact->id, entry->id, sizeof fact->id);
                memcpy(fact->certificate_sha256, entry->certificate.sha256, 32);
                memcpy(fact->key_sha256, entry->certificate.key_sha256, 32);
        }
        return found;
}

/* ---- room for a new challenge -------------------------------------------------------------------- */

/* Over the bound for one host and port the oldest but the first goes: the first is what a person may be
 * looking at, the newest is what is there now (S14). */
static bool make_room_at_host(const char *host, uint16_t port)
{
        size_t count, pending = 0;
        struct entry **entries = allowed_list_entries(&count), *second = NULL;

        for (size_t i = 0; i < count; i++)
                if (entries[i]->decided.state == ALLOWED_PENDING && is_of(entries[i], host, port))
                        if (++pending == 2)
                                second = entries[i];
        if (pending < LIMIT_PENDING_PER_HOST)
                return false;
        allowed_list_remove(second);
        return true;
}

/* ---- what a session leaves behind ------------------------------------------------------------------ */

static void add_error(struct entry *entry, const struct tls_error *error)
{
        size_t at = 0;

        while (at < entry->error_count &&
               (entry->errors[at].problem != error->problem || entry->errors[at].depth != error->depth))
                at++;
        if (at == entry->error_count)
                entry->errors = new_resized(entry->errors, ++entry->error_count, sizeof *entry->errors);
        entry->errors[at] = (struct seen_error){ .problem = error->problem, .depth = error->depth };
        memcpy(entry->errors[at].text, error->text, sizeof entry->errors[at].text);
        memcpy(entry->errors[at].remedy, error->remedy, sizeof entry->errors[at].remedy);
}

/* What was never decided on shows the errors of now; what was approved once, those as well. */
static void take_errors(struct entry *entry, const struct tls_evidence *evidence)
{
        if (entry->decided.time == 0)
                entry->error_count = 0;
        for (size_t i = 0; i < evidence->error_count && entry->error_count < 2 * count_of(evidence->errors);
             i++)
                add_error(entry, &evidence->errors[i]);
}

static struct entry *new_challenge(const struct tls_evidence *evidence, const struct verdict *verdict,
                                   const char *id)
{
        struct entry *entry = new_object(struct entry);

        memcpy(entry->id, id, sizeof entry->id);
        entry->host = copy_text(evidence->host);
        entry->port = evidence->port;
        entry->created = loop_wall();
        entry->class = verdict->replaces[0] ? CLASS_OF_CHANGED : CLASS_OF_NEW;
        memcpy(entry->replaces, verdict->replaces, sizeof entry->replaces);
        certificate_copy(&entry->certificate, &evidence->chain[0]);
        entry->chain = new_zeroed(evidence->chain_count, sizeof *entry->chain);
        for (size_t i = 1; i < evidence->chain_count; i++)
                certificate_copy(&entry->chain[entry->chain_count++], &evidence->chain[i]);
        return entry;
}

/* At the bound for all a challenge that is over makes room for one that is not. */
static bool make_room(void)
{
        size_t count;
        struct entry **entries = allowed_list_entries(&count);

        if (allowed_count("pending", false) < LIMIT_PENDING)
                return true;
        for (size_t i = 0; i < count; i++)
                if (entries[i]->decided.state == ALLOWED_PENDING && entry_is_over(entries[i])) {
                        allowed_list_remove(entries[i]);
                        return true;
                }
        return false;
}

/* Returns NULL when there is no room in all. */
static struct entry *raise_challenge(const struct tls_evidence *evidence, const struct verdict *verdict,
                                     const char *id)
{
        if (!make_room())
                return NULL;
        bool flood = make_room_at_host(evidence->host, evidence->port);
        struct entry *entry = new_challenge(evidence, verdict, id);
        allowed_list_add(entry);
        allowed_list_tell(id, "challenge", NULL);
        if (flood)
                allowed_list_tell(id, "flood", NULL);
        return entry;
}

/* When an approval ends: by its own date, or with the certificate. 0: never. */
static time_t end_of(const struct entry *entry)
{
        time_t end = entry->decided.expires;

        if (entry_ends_with_certificate(entry->decided.pins, entry->decided.errors) &&
            (end == 0 || entry->certificate.not_after < end))
                end = entry->certificate.not_after;
        return end;
}

static bool has_ended(const struct entry *entry, time_t now)
{
        time_t end = entry->decided.state == ALLOWED_APPROVED ? end_of(entry) : 0;

        return end != 0 && end <= now;
}

static void end_approval(struct entry *entry, time_t now)
{
        entry->decided.state = ALLOWED_PENDING;
        entry->decided.expires = 0;
        allowed_history_add(&entry->decided, &(struct past){ .what = PAST_EXPIRED, .time = now });
        allowed_list_tell(entry->id, "expired", NULL);
}

/* A known entry that no longer covers: it waits for a decision again. A session may see that an approval has
 * ended before allowed_expire() does, as right after the start. */
static void reopen(struct entry *entry)
{
        if (entry->decided.state == ALLOWED_PENDING) {
                if (entry_is_over(entry))
                        allowed_list_tell(entry->id, "challenge", NULL);
                return;
        }
        if (has_ended(entry, loop_wall())) {
                end_approval(entry, loop_wall());
        } else {
                entry->decided.state = ALLOWED_PENDING;
                entry->decided.expires = 0;
                entry->class = CLASS_OF_CHANGED;
                allowed_list_tell(entry->id, "challenge", NULL);
        }
        allowed_list_trust_changes();
}

static void complete_words(struct verdict *verdict, const struct tls_evidence *evidence,
                           const struct entry *entry)
{
        char when[32];
        time_t verified = allowed_verified_when(entry->host, entry->port);

        verdict_remedy(verdict, evidence, entry->id);
        if (entry->class != CLASS_OF_REGRESSION)
                return;
        time_rfc3339(verified, when);
        cause_prefix(&verdict->cause,
                     "this server verified without help until %s, and this is what an attack looks "
                     "like; ",
                     when);
}

static void record_challenge(const struct tls_evidence *evidence, const char *account,
                             struct verdict *verdict)
{
        char id[13];

        allowed_entry_id(evidence->host, evidence->port, evidence->chain[0].sha256, id);
        struct entry *entry = allowed_list_find(id);
        bool fresh = !entry;
        bool was_pending = entry && entry->decided.state == ALLOWED_PENDING;
        if (entry)
                reopen(entry);
        else
                entry = raise_challenge(evidence, verdict, id);
        if (!entry) {
                cause_remedy(&verdict->cause,
                             "%d challenges wait already: decide or delete some of them first: "
                             "emailsecctl challenge list",
                             LIMIT_PENDING);
                return;
        }
        size_t accounts = entry->account_count;
        uint32_t problems = allowed_entry_problems(entry);
        take_errors(entry, evidence);
        allowed_entry_add_account(entry, account);
        entry->last_seen = loop_wall();
        entry->needless = entry->unused = false;
        if (allowed_verified_when(entry->host, entry->port))
                entry->class = CLASS_OF_REGRESSION;
        memcpy(verdict->allowed_id, id, sizeof id);
        complete_words(verdict, evidence, entry);
        if (fresh || !was_pending || accounts != entry->account_count ||
            problems != allowed_entry_problems(entry))
                allowed_list_save();
        else
                allowed_list_save_some_time();
}

static void record_use(const char *account, const struct verdict *verdict)
{
        struct entry *entry = allowed_list_find(verdict->allowed_id);

        if (!entry)
                return;
        entry->last_seen = loop_wall();
        entry->needless = entry->unused = false;
        allowed_entry_add_account(entry, account);
        allowed_list_save_some_time();
}

static void record_rejected(const char *account, struct verdict *verdict)
{
        struct entry *entry = allowed_list_find(verdict->allowed_id);
        char when[32];

        if (!entry)
                return;
        record_use(account, verdict);
        time_rfc3339(entry->decided.time, when);
        cause_remedy(&verdict->cause,
                     "rejected by %s at %s; if that was a mistake: emailsecctl allowed show %s",
                     entry->decided.by ? entry->decided.by : "a person", when, entry->id);
}

static void record_verified(const struct tls_evidence *evidence)
{
        size_t count;
        struct entry **entries = allowed_list_entries(&count);

        if (allowed_verified_note(evidence->host, evidence->port, evidence->chain[0].sha256, loop_wall()))
                allowed_list_save_some_time();
        for (size_t i = 0; i < count; i++) {
                struct entry *entry = entries[i];
                if (entry->needless || entry->decided.state == ALLOWED_REJECTED ||
                    !is_of(entry, evidence->host, evidence->port))
                        continue;
                bool told = entry_is_over(entry);
                entry->needless = true;
                if (!told)
                        allowed_list_tell(entry->id, "needless", NULL);
                allowed_list_save();
        }
}

void allowed_record(const struct tls_evidence *evidence, const char *account, struct verdict *verdict)
{
        if (verdict->kind <= VERDICT_USER)
                clock_doubt_verified();
        else if (verdict->errors &&
                 (verdict->errors & ~(1u << PROBLEM_EXPIRED | 1u << PROBLEM_NOT_YET_VALID)) == 0)
                clock_doubt_failed(evidence->host, evidence->port, loop_now());
        if (allowed_fault() || evidence->chain_count == 0)
                return;
        switch (verdict->kind) {
        case VERDICT_SYSTEM:
        case VERDICT_USER:
                record_verified(evidence);
                break;
        case VERDICT_ALLOWED:
                record_use(account, verdict);
                break;
        case VERDICT_CHALLENGE:
                record_challenge(evidence, account, verdict);
                break;
        case VERDICT_REJECTED:
                record_rejected(account, verdict);
                break;
        case VERDICT_FAULT:
                break;
        }
}

/* ---- servers that nobody uses ---------------------------------------------------------------------- */

void allowed_look_at_users(bool (*in_use)(const char *host, uint16_t port), bool tell)
{
        size_t count;
        struct entry **entries = allowed_list_entries(&count);

        for (size_t i = 0; i < count; i++) {
                struct entry *entry = entries[i];
                bool was_over = entry_is_over(entry);
                entry->unused = !in_use(entry->host, entry->port);
                if (tell && !was_over && entry_is_over(entry))
                        allowed_list_tell(entry->id, "needless", NULL);
                else if (tell && was_over && !entry_is_over(entry) && entry->decided.state == ALLOWED_PENDING)
                        allowed_list_tell(entry->id, "challenge", NULL);
        }
}

/* ---- the end of an exemption ------------------------------------------------------------------------ */

time_t allowed_expire(time_t now)
{
        size_t count, ended = 0;
        struct entry **entries = allowed_list_entries(&count);
        time_t next = 0;

        for (size_t i = 0; i < count; i++) {
                struct entry *entry = entries[i];
                time_t end = entry->decided.state == ALLOWED_APPROVED ? end_of(entry) : 0;
                if (!has_ended(entry, now)) {
                        next = end != 0 && (next == 0 || end < next) ? end : next;
                        continue;
                }
                end_approval(entry, now);
                ended++;
        }
        if (ended) {
                allowed_list_save();
                trust_changed("an exemption has ended");
        }
        return next;
}

void allowed_ends(void (*tell)(void *ctx, const struct allowed_end *end), void *ctx)
{
        size_t count;
        struct entry **entries = allowed_list_entries(&count);

        for (size_t i = 0; i < count; i++) {
                struct entry *entry = entries[i];
                struct decided *decided = &entry->decided;
                char fingerprint[65];
                if (decided->state != ALLOWED_APPROVED || !decided->expires ||
                    end_of(entry) != decided->expires || entry_is_over(entry))
                        continue;
                hex_print(entry->certificate.sha256, sizeof entry->certificate.sha256, fingerprint);
                struct allowed_end end = { .id = entry->id,
                                           .host = entry->host,
                                           .port = entry->port,
                                           .time = decided->expires,
                                           .fingerprint = fingerprint,
                                           .warned = &decided->warned };
                tell(ctx, &end);
        }
}
