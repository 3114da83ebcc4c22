/* SPDX-License-Identifier: MIT */
/* The id of a received message, which people and programs use: it follows from the name of its file, whatever
 * flags that has by now. */
#pragma once

#include <stdint.h>

#define INBOX_ID_SIZE 13

/* The first 48 bits of the SHA-256 of the file's name without its flags. */
int64_t inbox_id(const char *file);
/* As 12 hex digits. */
void inbox_id_print(int64_t id, char text[INBOX_ID_SIZE]);
/* The ids that begin with these digits; -1: none does. */
int inbox_id_range(const char *beginning, int64_t *first, int64_t *last);
