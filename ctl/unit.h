/* SPDX-License-Identifier: MIT */
/*
 * What the service manager says of emailsecd.service, for whoever found no daemon at the standard socket: one
 * that is not started, one that cannot start and one that has ended are three things. Asks systemctl, for a
 * few seconds at most.
 */
#pragma once

enum unit_state {
        UNIT_UNKNOWN, /* no service manager here, or it does not answer */
        UNIT_ABSENT,  /* it has no such unit */
        UNIT_STOPPED,
        UNIT_MASKED,  /* nobody can start it */
        UNIT_FAILING, /* it does not come up, and is tried again after a while or not at all */
        UNIT_COMING,  /* it was up, has been killed, and is started again in a moment */
        UNIT_STARTING,
        UNIT_ENDING,
        UNIT_RUNNING,
};

/* The state by the words that `systemctl show` prints: NAME=VALUE lines of LoadState, ActiveState, SubState,
 * Result. */
enum unit_state unit_state_in(const char *words);
enum unit_state unit_state(void);
