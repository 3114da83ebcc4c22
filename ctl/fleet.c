/* SPDX-License-Identifier: MIT */
/* Which stations, what is run there, and the order of the answers; see fleet.h. */
#include "ctl/fleet.h"

#include "common/limits.h"
#include "common/printable.h"
#include "common/times.h"
#include "ctl/apply.h"
#include "ctl/call.h"
#include "ctl/commands.h"
#include "ctl/fleet_view.h"
#include "ctl/options.h"
#include "ctl/show.h"
#include "ctl/stations.h"
#include "ctl/term.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* The limits of one run: a person waits for it, and hundreds of stations answer into one process. */
enum {
        PARALLEL = 32,
        PARALLEL_MOST = 256,
        TIMEOUT_S = 30,
        TIMEOUT_MOST_S = 24 * 3600,
        CONNECT_MOST_S = 10,
        ANSWER_MOST = 64 * MIB,
        ANSWERS_MOST = 256 * MIB,      /* of all stations together */
        VALUES_MOST = 4 * 1000 * 1000, /* of JSON, likewise: a few hundred bytes each */
        SSH_WORDS = 16,
};

struct fleet {
        struct tool *tool;
        const struct fleet_view *view;
        bool json; /* asked of the stations */
        struct stations stations,
                others;   /* others: of the file of hosts, outside the groups that are meant */
        json_t *document; /* of account apply */
        json_t *parts;    /* of it, by the names of hosts */
        size_t parallel;
        int64_t timeout_ms;
        char **words; /* of the tool over there, quoted */
        size_t word_count;
        char connect[32];
        struct fleet_task *tasks;
        struct fleet_answer *answers;
};

bool fleet_is_meant(const struct tool *tool)
{
        return tool->hosts || tool->hosts_group || tool->host_list_count > 1 ||
               (tool->host && strchr(tool->host, ','));
}

/* ---- what was asked for ---- */

/* The time to connect is bounded by the time to answer, and by 10 seconds at the most. */
static int read_numbers(struct fleet *fleet)
{
        const struct tool *tool = fleet->tool;
        struct cause cause;
        int64_t seconds = TIMEOUT_S;
        char *end = NULL;
        long parallel = tool->parallel ? strtol(tool->parallel, &end, 10) : PARALLEL;
        if (tool->parallel && (!tool->parallel[0] || *end || parallel < 1 || parallel > PARALLEL_MOST))
                return tell_usage(tool, "--parallel is a number from 1 to %d", PARALLEL_MOST);
        if (tool->timeout && duration_parse(tool->timeout, &seconds, &cause) < 0)
                return tell_usage(tool, "%s", cause.text);
        if (seconds < 1 || seconds > TIMEOUT_MOST_S)
                return tell_usage(tool, "--timeout is from 1s to 24h");
        fleet->parallel = (size_t)parallel;
        fleet->timeout_ms = seconds * 1000;
        (void)snprintf(fleet->connect, sizeof fleet->connect, "ConnectTimeout=%lld",
                       (long long)(seconds < CONNECT_MOST_S ? seconds : CONNECT_MOST_S));
        return EXIT_DONE;
}

/* Hosts of the command line and of the file together; a group is of the file. */
static int read_stations(struct fleet *fleet)
{
        const struct tool *tool = fleet->tool;
        struct cause cause = { 0 };
        if (tool->hosts_group && !tool->hosts)
                return tell_usage(tool, "--group is of the file of --hosts");
        for (size_t i = 0; i < tool->host_list_count; i++)
                if (stations_add_list(&fleet->stations, tool->host_list[i], &cause) < 0)
                        return tell_usage(tool, "%s", cause.text);
        if (tool->hosts &&
            stations_add_file(&fleet->stations, tool->hosts, tool->hosts_group, &fleet->others, &cause) < 0)
                return tell_cause(&cause);
        if (!fleet->stations.count)
                return tell_usage(tool, "%s names no host", tool->hosts);
        return EXIT_DONE;
}

/* What stays until it is ended, asks, or reads its input is for one station. */
static int check_command(const struct fleet *fleet)
{
        static const char *const staying[] = { "watch", "check" };
        const struct tool *tool = fleet->tool;
        if (!(tool->command->flags & COMMAND_FLEET))
                return tell_usage(tool, "'%s' is run at one host at a time: -H HOST", tool->command->words);
        for (size_t i = 0; i < count_of(staying); i++)
                if (tool_has(tool, staying[i]))
                        return tell_usage(tool, "--%s is for one host: -H HOST", staying[i]);
        return EXIT_DONE;
}

/* A part that fits no host would leave one that is misspelled with the common accounts alone. */
static int check_parts(const struct fleet *fleet, const char *path)
{
        struct cause cause = { 0 };
        if (tool_has(fleet->tool, "partial"))
                return EXIT_DONE;
        scoped(scoped_json) json_t *unmet =
                apply_document_others(fleet->document, &fleet->stations, &fleet->others);
        size_t count = json_array_size(unmet);
        if (!count)
                return EXIT_DONE;
        for (size_t i = 0; i < count; i++) {
                scoped(scoped_free) char *safe = printable_text(json_string_value(json_array_get(unmet, i)));
                fprintf(stderr, "%s: the part of '%s' is for none of these hosts\n", path, safe);
        }
        (void)cause_set(&cause, CAUSE_INVALID,
                        "%zu %s of %s %s for no host that is named: nothing was applied", count,
                        count == 1 ? "part" : "parts", path, count == 1 ? "is" : "are");
        cause_remedy(&cause,
                     "correct the names; or where only some hosts of the file are meant, add --partial");
        return tell_cause(&cause);
}

/* The file is read here, once: each station gets its own part of it through standard input. */
static int read_document(struct fleet *fleet)
{
        const char *path = tool_word(fleet->tool, 0);
        struct cause cause = { 0 };
        if (!same_text(fleet->tool->command->words, "account apply"))
                return EXIT_DONE;
        if (same_text(path, "-") && same_text(fleet->tool->hosts, "-"))
                return tell_usage(fleet->tool, "standard input cannot be the hosts and the accounts");
        fleet->document = apply_document_read(path, &cause);
        if (!fleet->document)
                return tell_cause(&cause);
        fleet->parts = apply_document_parts(fleet->document);
        return check_parts(fleet, path);
}

/* The same words for all, quoted for the shell over there; FILE of apply becomes standard input, and what
 * hosts are meant is not for them. */
static void make_words(struct fleet *fleet, int argc, char **argv)
{
        const struct tool *tool = fleet->tool;
        const char *file = fleet->document ? tool_word(tool, 0) : NULL;
        fleet->words = new_zeroed((size_t)argc + 4, sizeof(*fleet->words));
        fleet->words[fleet->word_count++] = copy_text("emailsecctl");
        if (fleet->json && !tool->json)
                fleet->words[fleet->word_count++] = shell_quoted("--json");
        for (int i = 1; i < argc; i++)
                if (argv[i] && (argv[i] == file || !same_text(argv[i], "--partial")))
                        fleet->words[fleet->word_count++] = shell_quoted(argv[i] == file ? "-" : argv[i]);
        if (tool->bare)
                fleet->words[fleet->word_count++] = shell_quoted("status");
}

/* ---- the run ---- */

/* A file without a name that holds the accounts of one station. */
static int input_for(const struct fleet *fleet, const char *station, struct cause *cause)
{
        scoped(scoped_json) json_t *accounts =
                apply_document_for(fleet->document, fleet->parts, station, cause);
        if (!accounts)
                return -1;
        scoped(scoped_free) char *text = json_dumps(accounts, JSON_COMPACT);
        int fd = memfd_create("accounts", MFD_CLOEXEC);
        size_t len = text ? strlen(text) : 0;
        if (fd < 0 || tool_write(fd, text, len) < 0 || lseek(fd, 0, SEEK_SET) < 0) {
                close_fd(&fd);
                return cause_errno(cause, errno, "cannot hold the accounts of %s", station);
        }
        return fd;
}

/* A descriptor for each station, and some for each that runs. */
static void make_room_for_inputs(const struct fleet *fleet)
{
        rlim_t wanted = fleet->stations.count + 4 * fleet->parallel + 64;
        struct rlimit files;
        if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= wanted)
                return;
        files.rlim_cur = wanted < files.rlim_max ? wanted : files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* else the first that lacks one says so */
}

/* No terminal, no question (BatchMode), and "--" before the name: one that begins with a hyphen is
 * no option. The caller frees the array; its words are borrowed. */
static const char **ssh_words(const struct fleet *fleet, const char *station)
{
        const char *const before[] = {
                "ssh", "-T", "-o", "BatchMode=yes", "-o", fleet->connect, "--", station
        };
        const char **words = new_zeroed(fleet->word_count + SSH_WORDS, sizeof(*words));
        size_t count = 0;
        for (; count < count_of(before); count++)
                words[count] = before[count];
        for (size_t i = 0; i < fleet->word_count; i++)
                words[count++] = fleet->words[i];
        return words;
}

static int make_tasks(struct fleet *fleet)
{
        struct cause cause = { 0 };
        fleet->tasks = new_zeroed(fleet->stations.count, sizeof(*fleet->tasks));
        fleet->answers = new_zeroed(fleet->stations.count, sizeof(*fleet->answers));
        /* -1 before any of them is opened: what fails half-way is closed by one rule. */
        for (size_t i = 0; i < fleet->stations.count; i++)
                fleet->tasks[i].input = -1;
        if (fleet->document)
                make_room_for_inputs(fleet);
        for (size_t i = 0; i < fleet->stations.count; i++) {
                const char *station = fleet->stations.names[i];
                fleet->tasks[i].words = ssh_words(fleet, station);
                if (fleet->document && (fleet->tasks[i].input = input_for(fleet, station, &cause)) < 0)
                        return tell_cause(&cause);
        }
        return EXIT_DONE;
}

static void show_progress(void *ctx, const struct fleet_progress *now)
{
        const struct fleet *fleet = ctx;
        size_t all = fleet->stations.count;
        if (now->running > 1)
                term_progress(fleet->tool, "%zu of %zu stations; waiting for %s and %zu more", now->ended,
                              all, fleet->stations.names[now->first], now->running - 1);
        else if (now->running)
                term_progress(fleet->tool, "%zu of %zu stations; waiting for %s", now->ended, all,
                              fleet->stations.names[now->first]);
}

/* ---- what came ---- */

/* Those that did not answer first, then by the view; of one rank in the order they were named. */
static void put_in_order(struct fleet *fleet)
{
        size_t count = fleet->stations.count, placed = 0;
        struct fleet_answer *sorted = new_zeroed(count, sizeof(*sorted));
        int worst = 0;
        for (size_t i = 0; i < count; i++) {
                struct fleet_answer *answer = &fleet->answers[i];
                if (answer->cause.code)
                        answer->rank = INT32_MAX;
                else if (fleet->view->rank && answer->result)
                        answer->rank = fleet->view->rank(answer);
                worst = answer->rank > worst ? answer->rank : worst;
        }
        /* Few ranks and many stations: one pass for each rank that occurs keeps the order they were
         * named in. */
        for (int rank = worst; placed < count;) {
                int next = -1;
                for (size_t i = 0; i < count; i++) {
                        if (fleet->answers[i].rank == rank)
                                sorted[placed++] = fleet->answers[i];
                        else if (fleet->answers[i].rank < rank && fleet->answers[i].rank > next)
                                next = fleet->answers[i].rank;
                }
                rank = next;
        }
        free(fleet->answers);
        fleet->answers = sorted;
}

/* Shortest first; the places are those in `tasks`. */
static int by_length(const void *a, const void *b, void *tasks)
{
        const size_t *left = a, *right = b;
        size_t one = ((const struct fleet_task *)tasks)[*left].out.len,
               other = ((const struct fleet_task *)tasks)[*right].out.len;
        return (one > other) - (one < other);
}

/* The brief ones first: there is room for all of those. */
static void take_answers(struct fleet *fleet)
{
        size_t values = VALUES_MOST;
        scoped(scoped_free) size_t *places = new_zeroed(fleet->stations.count, sizeof(*places));
        for (size_t i = 0; i < fleet->stations.count; i++)
                places[i] = i;
        qsort_r(places, fleet->stations.count, sizeof(*places), by_length, fleet->tasks);
        for (size_t n = 0; n < fleet->stations.count; n++) {
                size_t i = places[n];
                struct fleet_answer *answer = &fleet->answers[i];
                fleet_answer_take(answer, fleet->stations.names[i], &fleet->tasks[i], fleet->json,
                                  fleet->timeout_ms, &values);
                if (answer->result && !answer->cause.code && fleet->view->fits &&
                    !fleet->view->fits(answer->result))
                        fleet_answer_is_none(answer);
                fleet_task_done(&fleet->tasks[i]);
        }
        put_in_order(fleet);
}

static void show_all(const struct fleet *fleet)
{
        const struct tool *tool = fleet->tool;
        size_t count = fleet->stations.count;
        if (tool->json) {
                json_t *list = fleet_answers_json(fleet->answers, count);
                show_json(list);
                json_decref(list);
                return;
        }
        term_pager_open(tool);
        fleet->view->show(tool, fleet->answers, count);
        for (size_t i = 0; i < count; i++) {
                scoped(scoped_free) char *safe = text_cut(fleet->answers[i].notes, 400);
                if (safe[0])
                        fprintf(stderr, "warning: %s: %s\n", fleet->answers[i].station, safe);
        }
        if (!fleet->view->tells_failures)
                fleet_tell_failures(fleet->answers, count);
}

static void fleet_done(struct fleet *fleet)
{
        for (size_t i = 0; fleet->tasks && i < fleet->stations.count; i++) {
                free(fleet->tasks[i].words);
                close_fd(&fleet->tasks[i].input);
                fleet_answer_done(&fleet->answers[i]);
        }
        for (size_t i = 0; i < fleet->word_count; i++)
                free(fleet->words[i]);
        free(fleet->words);
        free(fleet->tasks);
        free(fleet->answers);
        json_decref(fleet->document);
        json_decref(fleet->parts);
        stations_free(&fleet->stations);
        stations_free(&fleet->others);
}

static int run(struct fleet *fleet, int argc, char **argv)
{
        int status = check_command(fleet);
        status = status ? status : read_numbers(fleet);
        status = status ? status : read_stations(fleet);
        status = status ? status : read_document(fleet);
        if (status)
                return status;
        make_words(fleet, argc, argv);
        status = make_tasks(fleet);
        if (status)
                return status;
        struct fleet_order order = {
                .parallel = fleet->parallel,
                .timeout_ms = fleet->timeout_ms,
                .most_bytes = ANSWER_MOST,
                .most_held = ANSWERS_MOST,
                .tick = show_progress,
                .ctx = fleet,
        };
        /* A child would write what is held here once more. */
        fflush(stdout);
        int stopped = fleet_run(&order, fleet->tasks, fleet->stations.count);
        term_progress_end();
        take_answers(fleet);
        show_all(fleet);
        /* As a shell reports a program that a signal has ended. */
        return stopped ? 128 + stopped : fleet_exit(fleet->answers, fleet->stations.count);
}

int fleet_do(struct tool *tool, int argc, char **argv)
{
        struct fleet fleet = { .tool = tool, .view = fleet_view_of(tool->command->words) };
        fleet.json = tool->json || fleet.view->fits;
        int status = run(&fleet, argc, argv);
        fleet_done(&fleet);
        return status;
}
