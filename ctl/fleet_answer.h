/* SPDX-License-Identifier: MIT */
/*
 * What came of a command at one station: its JSON or its text, and where it did not come about, why: no way
 * there, nobody let in, no answer in time, no tool, an older one, no daemon, words that are no answer.
 */
#pragma once

#include "ctl/fleet_run.h"
#include "ctl/tool.h"

struct fleet_answer {
        const char *station; /* borrowed */
        int exit;            /* an exit_status; EXIT_NO_DAEMON also where it was not reached */
        json_t *result;      /* NULL: it gave no JSON */
        char *text;          /* what it printed, where no JSON was asked for */
        char *notes;         /* warnings that it gave all the same, lines; "" none */
        struct cause cause;  /* CAUSE_NONE: it was done */
        int rank;            /* the view's: what is worse comes first */
};

/* `json`: it was asked for JSON. `values`: how many of JSON may be kept yet of all answers; less those of
 * this one, or where it has more, it is not taken. */
void fleet_answer_take(struct fleet_answer *answer, const char *station, const struct fleet_task *task,
                       bool json, int64_t timeout_ms, size_t *values);
/* Why ssh did not get to a host, by what it said: false where nothing known is among it. */
bool fleet_ssh_trouble(const char *words, const char *station, struct cause *cause);
/* Its JSON is none that the command gives: a failure, as words would be. */
void fleet_answer_is_none(struct fleet_answer *answer);
void fleet_answer_done(struct fleet_answer *answer);
/* Of all of them: 0 where all are; a station that could not be asked counts most. */
int fleet_exit(const struct fleet_answer *answers, size_t count);
/* [{station, exit, result, error}] in their order. The caller decrefs. */
json_t *fleet_answers_json(const struct fleet_answer *answers, size_t count) must_use;
