/* SPDX-License-Identifier: MIT */
/*
 * Local names: what cron, smartd and scripts write where an address should be ("root"). As a recipient each
 * becomes the addresses of its alias in AliasFile= (/etc/aliases), else LocalRecipients=; as a sender it gets
 * the machine's domain
 * (/etc/mailname, else Hostname=). "name@localhost" and "name@HOST", with this machine's name alone, are
 * local names where an alias or LocalRecipients= is there for them; a name at this machine's full name where
 * it has an alias; else these are addresses like any other. The files are read on a thread of their own and
 * again when they have changed.
 */
#pragma once

#include "common/cause.h"
#include "daemon/settings.h"

#include <jansson.h>

/* What is known of them at one time. It never changes, and may be held on any thread. */
struct local_names;

/* At start and on reload, with the settings. Reads the files itself, once. */
void local_names_open(const struct settings *settings);
void local_names_close(void);
/* What is known now, held for the caller. NULL before the first local_names_open(). */
struct local_names *local_names_hold(void) must_use;
struct local_names *local_names_hold_again(struct local_names *names); /* NULL: NULL */
void local_names_release(struct local_names *names);
/* `done` on the loop in a later turn, when what is known is what the files say. */
void local_names_look(void (*done)(void *ctx), void *ctx);

/* True where what is known matters for the address: the files should be looked at. */
bool local_names_concern(const struct local_names *names, const char *address);
/* The addresses that a recipient stands for are given to `found`, doubles among them. 0; or -1 where there is
 * none, and why and what helps. One that is no local name stands for itself. */
int local_names_resolve(const struct local_names *names, const char *recipient,
                        void (*found)(void *ctx, const char *address), void *ctx, struct cause *cause)
        must_use;
/* The address of a sender, with the machine's domain where it has none. The caller frees. */
char *local_names_sender(const struct local_names *names, const char *sender) must_use;
/* The value of the header field NAME with whole addresses, of recipients as local_names_resolve, of others
 * (and of recipients that stand for nobody) as local_names_sender. NULL: it has them already, or is no field
 * of addresses. The caller frees. */
char *local_names_in_field(const struct local_names *names, const char *name, size_t name_len,
                           const char *value) must_use;

/* Calls with each sentence about what is missing: mail to root would be refused; lines of the file that are
 * not followed. */
void local_names_advise(void (*advise)(void *ctx, const char *sentence), void *ctx);
