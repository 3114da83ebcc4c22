/* SPDX-License-Identifier: MIT */
/*
 * A client of the submission listener: an engine (common/esmtp), its connection, who it is and what it may,
 * and the message that it brings. Engine and connection decide nothing; here is which wish gets which answer.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/* With what descriptor peer_uid() asks who a client is; -1: with none. */
void smtpd_clients_ask(int diag);
/* Lets one in. The descriptor is taken over. `tls`: from the first byte. */
void smtpd_client_new(int fd, const struct sockaddr_storage *peer, bool tls);
/* Says 421 to all who bring no message just now, and to the others once it is accepted; then `over`, perhaps
 * at once. */
void smtpd_clients_wind_down(void (*over)(void));
/* Who may has changed: each is told 421 when it brings no message, and comes again. */
void smtpd_clients_renew(void);
/* All others are told 421 as well, but for those whose message the store has: its answer is passed on. */
void smtpd_clients_stop(void);
void smtpd_clients_close(void);
