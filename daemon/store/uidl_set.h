/* SPDX-License-Identifier: MIT */
/*
 * Which UIDLs a POP3 server lists, by 8 bytes of each: a mailbox of millions is held in tens of MiB. A digest
 * only says what need not be looked at; whatever may be new is looked up by the UIDL itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uidl_set {
        uint64_t *digests; /* owned; in order once sorted */
        size_t count, size;
        uint8_t *known; /* owned; a bit for each; NULL until sorted */
};

void uidl_set_add(struct uidl_set *set, const char *uidl);
/* In place: it may be large. Nothing is added after that. */
void uidl_set_sort(struct uidl_set *set);
/* The rest once it is sorted. How often this one is listed: */
size_t uidl_set_has(const struct uidl_set *set, const char *uidl);
/* It is here, and nothing is to be done about it. One that is listed several times is looked at all the same.
 */
void uidl_set_note_known(struct uidl_set *set, const char *uidl);
bool uidl_set_knows(const struct uidl_set *set, const char *uidl);
/* Frees what it holds. */
void uidl_set_clear(struct uidl_set *set);
