/* SPDX-License-Identifier: MIT */
/*
 * The one way of other people's mail into the queue, for the control socket and for whoever else takes mail
 * in: local names become addresses (daemon/local_names.h), the account is chosen, sender and recipients are
 * checked, and the message is taken in (store/taking.h) and committed.
 */
#pragma once

#include "daemon/accounts/account.h"

/* The account for mail that names none: one whose sendsFor has the sender (its address before its domain);
 * else DefaultAccount; else the only one; else the one whose own address the sender is. `sender`: NULL or "":
 * none is known. NULL with a cause. */
struct account *submit_account(const char *sender, struct cause *cause);

struct submit_order {        /* copied, but for what is taken over */
        const char *account; /* named by the submitter; NULL: submit_account() */
        bool any_account;    /* may name any, and not only the one that would be chosen */
        const char *from;    /* envelope sender, a local name or "" (the null sender); NULL: the account's */
        const char
                *author; /* where `from` is NULL: the address in the header, if it is known; for the choice */
        const char *const *recipients; /* addresses and local names */
        const char *const
                *notify; /* one for each recipient as common/dsn.h gives it, or NULL; NULL: none at all */
        const char *const
                *originals; /* one for each recipient as dsn_original() has it, or NULL; NULL: none */
        size_t recipient_count;
        bool partial; /* those to whom it cannot go are told in the answer; the others get it all the same */
        const char *ret, *envelope_id, *key; /* as in struct submission, or NULL */
        const char *trace; /* a Received field with its line ends, for the top of the header; or NULL */
        bool urgent, held;
        const char *who; /* "alice (uid 1000)" */
        uid_t owner;
        bool in_charge;
        int fd;         /* taken over; or -1 */
        uint8_t *bytes; /* where fd is -1; taken over */
        size_t len;
        const struct causes *problems; /* what is wrong with it already, to be told with the rest; or NULL */
};
struct submit_answer {
        const char *id, *account;
        bool duplicate;
        const json_t *refused; /* [{address, text}] of recipients that were left out; borrowed */
};
/* `done` once: with the answer when it is safe on disk, or with what is wrong (every bad value). It may come
 * before this returns, which is NULL then. */
struct submitting;
struct submitting *submit_mail(const struct submit_order *order,
                               void (*done)(void *ctx, const struct submit_answer *answer,
                                            const struct causes *problems),
                               void *ctx);
/* `done` does not come any more: what is being read is forgotten; what is on its way to the disk is accepted
 * all the same. */
void submit_give_up(struct submitting *submitting);

/* Whether the recipient can be one: an address, or a local name that stands for some. `done` once, with the
 * cause where it cannot; before this returns (true) where no file has to be looked at for it, else later
 * (false). */
bool submit_check_recipient(const char *recipient, void (*done)(void *ctx, const struct cause *cause),
                            void *ctx);
