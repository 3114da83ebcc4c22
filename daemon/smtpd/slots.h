/* SPDX-License-Identifier: MIT */
/*
 * How many clients of the submission listener are there, of whom: each user of this machine and each address
 * of the network has a share of the places, root and the daemon's own user have a reserve. Who fills a share
 * loses its longest idle client to a new one, so that sleepers keep nobody out; and of the network, its
 * oldest that has not signed in.
 */
#pragma once

#include "common/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct smtpd_slot { /* part of whoever is there */
        bool local;
        uid_t uid;           /* of a local one; (uid_t)-1: nobody knows */
        uint8_t address[16]; /* of another: its IPv4 address, or the first 64 bits of an IPv6 one */
        int64_t since;       /* loop_now() when it last did something that counts */
        bool evictable;      /* nothing is lost with it */
        bool stranger;       /* of the network, and has shown nothing yet: goes before others, however busy */
        void *owner;
        struct smtpd_slot *next, **link;
};

/* Adds it. False: there is no place, and none could be made by `evict`, which ends the one that is given to
 * it. */
bool smtpd_slot_take(struct smtpd_slot *slot, void (*evict)(void *owner));
void smtpd_slot_free(struct smtpd_slot *slot);
/* Fills in the address. */
void smtpd_slot_address(struct smtpd_slot *slot, const struct sockaddr_storage *address);

/* ---- passwords that were wrong ---- */

/* One of this client's was wrong: how long, in ms, the answer is kept back. It grows with each. */
int64_t smtpd_slot_failed(const struct smtpd_slot *slot);
/* So many of its address were wrong that no more are looked at for a while. */
bool smtpd_slot_is_barred(const struct smtpd_slot *slot);

/* ---- what is said in the journal about clients: a few lines a minute; beyond that they are counted ---- */

void notices_open(void);
void notices_close(void);
void notices_tell(const char *format, ...) printf_like(1, 2);
