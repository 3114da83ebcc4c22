/* SPDX-License-Identifier: MIT */
/* What the methods about the queue share: on_queue.c, on_wait.c. */
#pragma once

#include <jansson.h>

/* A message that waits while its account is stopped is `held` with the account's reason (mail.md): told when it is
 * shown, so that a stop writes nothing. */
void message_show_as_held(json_t *message);
