/* SPDX-License-Identifier: MIT */
/* What came from many stations, as one screen. */
#pragma once

#include "ctl/fleet_answer.h"

struct fleet_view {
        const char *words; /* of the command; NULL: of every other one, which is shown as text */
        /* Whether JSON can be the answer, which is asked for then; NULL: its text is shown, or, where the
         * person wants JSON, whatever comes. */
        bool (*fits)(const json_t *result);
        /* How bad it is there; more is worse. Of answers that came about only; NULL: all are alike. */
        int (*rank)(const struct fleet_answer *answer);
        void (*show)(const struct tool *tool, const struct fleet_answer *answers, size_t count);
        bool tells_failures; /* `show` says which stations did not answer, and why */
};
/* Never NULL. */
const struct fleet_view *fleet_view_of(const char *words);
/* Which stations did not answer, each reason once, to standard error. */
void fleet_tell_failures(const struct fleet_answer *answers, size_t count);
