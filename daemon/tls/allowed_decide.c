/* SPDX-License-Identifier: MIT */
/*
 * Decisions of a person about the Allowed Hosts: checked at once, answered when they are on disk. An approval
 * names what it approves (rule 14b) and covers the errors that the entry has at that moment; where it says
 * which ones the person has seen, there must be no other among them.
 */
#include "common/buf.h"
#include "common/json_fields.h"
#include "common/names.h"
#include "common/times.h"
#include "daemon/loop.h"
#include "daemon/tls/allowed.h"
#include "daemon/tls/allowed_list.h"

#include <stdio.h>

enum { FINGERPRINT_MIN = 16, REASON_MAX = 1024 };

static bool begins(const uint8_t digest[32], const char *digits)
{
        char all[65];

        hex_print(digest, 32, all);
        return strncmp(all, digits, strlen(digits)) == 0;
}

static int check_fingerprint(const struct entry *entry, const struct allowed_decision *decision,
                             struct cause *cause)
{
        scoped(scoped_free) char *digits =
                decision->fingerprint ? fingerprint_normal(decision->fingerprint) : NULL;
        char own[65];

        if (!digits || strlen(digits) < FINGERPRINT_MIN)
                return cause_about(cause, CAUSE_FINGERPRINT, "fingerprint",
                                   "an approval names the certificate: %d or more hex digits of its SHA-256",
                                   FINGERPRINT_MIN);
        if (begins(entry->certificate.sha256, digits) ||
            (decision->pins == PINS_KEY && begins(entry->certificate.key_sha256, digits)))
                return 0;
        hex_print(entry->certificate.sha256, 32, own);
        int same = 0;
        while (digits[same] && digits[same] == own[same])
                same++;
        int shown = same + 8 > FINGERPRINT_MIN ? same + 8
                                               : FINGERPRINT_MIN; /* as far as the digits that differ */
        cause_about(cause, CAUSE_FINGERPRINT, "fingerprint",
                    "entry %s is about the certificate %.*s%s, not %.*s%s: digit %d differs", entry->id,
                    shown, own, shown < 64 ? "..." : "", shown, digits,
                    shown < (int)strlen(digits) ? "..." : "", same + 1);
        cause_remedy(cause, "look at the certificate again: emailsecctl challenge show %s", entry->id);
        return -1;
}

/* What came after the person looked is not approved unseen. */
static int check_seen(const struct entry *entry, const struct allowed_decision *decision, struct cause *cause)
{
        uint32_t unseen = allowed_entry_problems(entry);
        scoped(buf_free) struct buf words = BUF_WITH_MAX(sizeof cause->text);

        for (size_t i = 0; i < json_array_size(decision->seen); i++) {
                const char *word = json_string_value(json_array_get(decision->seen, i));
                enum tls_problem problem = word ? tls_problem_named(word) : TLS_PROBLEMS;
                if (problem == TLS_PROBLEMS)
                        return cause_about(cause, CAUSE_INVALID, "errors",
                                           "\"%s\" is no error of a certificate", word ? word : "");
                unseen &= ~(1u << problem);
        }
        if (!decision->seen || !unseen)
                return 0;
        for (unsigned i = 0; i < TLS_PROBLEMS; i++)
                if (unseen & 1u << i && buf_appendf(&words, "%s%s", words.len ? ", " : "",
                                                    tls_problem_name((enum tls_problem)i)) < 0)
                        break; /* the first ones are told */
        cause_set(cause, CAUSE_STATE, "entry %s has errors that were not seen: %.*s", entry->id,
                  (int)words.len, (const char *)buf_bytes(&words));
        cause_remedy(cause, "show it again: emailsecctl challenge show %s", entry->id);
        return -1;
}

/* An approval that would be over at once is none: that the certificate has ended is to be seen, and accepted
 * with the other errors. */
static int check_validity(const struct entry *entry, const struct allowed_decision *decision,
                          struct cause *cause)
{
        char when[32];

        if (!entry_ends_with_certificate(decision->pins, allowed_entry_problems(entry)) ||
            entry->certificate.not_after > loop_wall())
                return 0;
        time_rfc3339(entry->certificate.not_after, when);
        cause_set(cause, CAUSE_STATE,
                  "the certificate of entry %s has ended on %s, which is not among the errors that were "
                  "seen: an "
                  "approval would be over at once",
                  entry->id, when);
        cause_remedy(cause,
                     "have the account try again (emailsecctl account test ACCOUNT), then show it again: "
                     "emailsecctl "
                     "challenge show %s",
                     entry->id);
        return -1;
}

static int check_approval(const struct entry *entry, const struct allowed_decision *decision,
                          struct cause *cause)
{
        if (decision->until && decision->until <= loop_wall()) {
                char when[32];
                time_rfc3339(decision->until, when);
                return cause_about(cause, CAUSE_INVALID, "until", "%s is in the past", when);
        }
        if (check_fingerprint(entry, decision, cause) < 0 || check_seen(entry, decision, cause) < 0)
                return -1;
        return check_validity(entry, decision, cause);
}

static int check(const struct entry *entry, const struct allowed_decision *decision, struct cause *cause)
{
        if (decision->reason && (strlen(decision->reason) > REASON_MAX || !text_is_clean(decision->reason)))
                return cause_about(cause, CAUSE_INVALID, "reason", "a reason is one line of at most %d bytes",
                                   REASON_MAX);
        switch (decision->what) {
        case DECIDE_APPROVE:
                return check_approval(entry, decision, cause);
        case DECIDE_UNAPPROVE:
                if (entry->decided.state == ALLOWED_PENDING) {
                        cause_set(cause, CAUSE_STATE, "entry %s is not approved: it waits for a decision",
                                  entry->id);
                        cause_remedy(cause, "emailsecctl challenge show %s", entry->id);
                        return -1;
                }
                return 0;
        case DECIDE_REJECT:
        case DECIDE_DELETE:
                break;
        }
        return 0;
}

static struct decision *new_decision(const struct entry *entry, const char *what)
{
        struct decision *decision = new_object(struct decision);

        memcpy(decision->id, entry->id, sizeof decision->id);
        decision->what = what;
        return decision;
}

static struct decision *decision_for(const struct entry *entry, const struct allowed_decision *asked)
{
        static const char *const words[] = { [DECIDE_APPROVE] = "approved",
                                             [DECIDE_REJECT] = "rejected",
                                             [DECIDE_UNAPPROVE] = "unapproved",
                                             [DECIDE_DELETE] = "deleted" };
        static const enum past_what steps[] = { [DECIDE_APPROVE] = PAST_APPROVED,
                                                [DECIDE_REJECT] = PAST_REJECTED,
                                                [DECIDE_UNAPPROVE] = PAST_UNAPPROVED };
        struct decision *decision = new_decision(entry, words[asked->what]);

        decision->remove = asked->what == DECIDE_DELETE;
        decision->decided = (struct decided){ .state = ALLOWED_PENDING,
                                              .time = loop_wall(),
                                              .by = copy_text(asked->who),
                                              .reason = copy_text(asked->reason) };
        if (asked->what == DECIDE_REJECT)
                decision->decided.state = ALLOWED_REJECTED;
        if (asked->what == DECIDE_APPROVE) {
                decision->decided.state = ALLOWED_APPROVED;
                decision->decided.pins = asked->pins;
                decision->decided.errors = allowed_entry_problems(entry);
                decision->decided.expires = asked->until;
        }
        if (asked->what != DECIDE_DELETE) {
                allowed_history_copy(&decision->decided, &entry->decided);
                allowed_history_add(&decision->decided,
                                    &(struct past){ .what = steps[asked->what],
                                                    .time = loop_wall(),
                                                    .expires = decision->decided.expires,
                                                    .by = (char *)(uintptr_t)asked->who,
                                                    .reason = (char *)(uintptr_t)asked->reason });
        }
        return decision;
}

void allowed_decide(const struct allowed_decision *asked,
                    void (*done)(void *ctx, const struct cause *cause, json_t *entry), void *ctx)
{
        struct cause cause = { 0 };
        const struct entry *entry = NULL;

        if (allowed_fault())
                cause = *allowed_fault();
        else
                entry = allowed_list_lookup(asked->id, &cause);
        if (!entry || check(entry, asked, &cause) < 0) {
                done(ctx, &cause, NULL);
                return;
        }
        struct decision *decision = decision_for(entry, asked);
        decision->done = done;
        decision->ctx = ctx;
        allowed_list_decide(decision);
        allowed_list_save();
}

void allowed_prune(const char *who, void (*done)(void *ctx, const struct cause *cause, json_t *ids),
                   void *ctx)
{
        struct cause cause = { 0 };
        size_t count;
        struct entry **entries = allowed_list_entries(&count);
        json_t *ids = json_array();
        struct decision *last = NULL;

        for (size_t i = 0; i < count; i++) {
                if (!entry_is_over(entries[i]))
                        continue;
                last = new_decision(entries[i], "deleted");
                last->remove = true;
                last->decided.by = copy_text(who);
                last->ids = json_incref(ids);
                if (json_array_append_new(ids, json_string(entries[i]->id)) < 0)
                        abort();
                allowed_list_decide(last);
        }
        if (last) {
                last->done = done;
                last->ctx = ctx;
                allowed_list_save();
        } else {
                if (allowed_fault())
                        cause = *allowed_fault();
                done(ctx, cause_or_null(&cause), ids);
        }
        json_decref(ids);
}
