/* SPDX-License-Identifier: MIT */
/*
 * The live screen. A second connection hears the events; what they mean is asked anew by the screen's own
 * calls, so that nothing here knows any event. Signals are let in only while it waits: none comes too early
 * to be seen.
 */
#include "ctl/live.h"

#include "common/printable.h"
#include "common/times.h"
#include "ctl/call.h"
#include "ctl/show.h"

#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#define DRAW_PAUSE_MS 250   /* least time between two screens, however many events come */
#define DRAW_AGAIN_MS 10000 /* times that are shown go on without an event */
#define REACH_MS      2000  /* between attempts to reach the daemon */

static volatile sig_atomic_t signalled, resized;

struct live {
        struct tool *tool;
        struct tool events; /* its connection hears of events */
        live_draw *draw;
        void *arg;
        bool connected;
        bool due;      /* something has happened since the last screen */
        int64_t drawn; /* when that was, in ms */
        bool person;   /* keys come from a terminal, which `before` says how to leave */
        struct termios before;
        sigset_t waiting; /* signals let in while it waits */
};

static void heard_signal(int number)
{
        if (number == SIGWINCH)
                resized = 1;
        else
                signalled = 1;
}

/* ---- the terminal ---- */

static void take_signals(struct live *live)
{
        static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH };
        struct sigaction action = { .sa_handler = heard_signal };
        sigset_t held;
        (void)sigemptyset(&held);
        for (size_t i = 0; i < count_of(numbers); i++) {
                (void)sigaddset(&held, numbers[i]);
                (void)sigaction(numbers[i], &action, NULL);
        }
        (void)sigprocmask(SIG_BLOCK, &held, &live->waiting);
}

static void take_terminal(struct live *live)
{
        live->person = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &live->before);
        if (live->person) {
                struct termios raw = live->before;
                raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
                raw.c_cc[VSUSP] =
                        _POSIX_VDISABLE; /* a stopped screen would leave the terminal as it is now */
                live->person = !tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        }
        if (term_moves())
                fputs("\033[?1049h\033[?25l\033[?7l", stdout); /* other screen, no cursor, no wrapping */
}

static void leave_terminal(struct live *live)
{
        if (term_moves())
                fputs("\033[?7h\033[?25h\033[?1049l", stdout);
        fflush(stdout);
        if (live->person)
                (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &live->before);
}

/* ---- a screen ---- */

/* What `draw` prints, or why it could not. The caller frees. */
static char *screen_text(struct live *live)
{
        scoped(causes_free) struct causes failures = { 0 };
        char *text = NULL;
        size_t len = 0;
        FILE *terminal = stdout, *memory = open_memstream(&text, &len);
        if (!memory)
                return copy_text("out of memory\n");
        /* What shows things writes to stdout: for one screen that is memory (in glibc it can be
         * assigned). */
        stdout = memory;
        int failed = live->draw(live->tool, live->arg, &failures);
        for (size_t i = 0; failed && i < failures.count; i++)
                show_advice(TINT_BAD, failures.items[i].text, cause_remedy_of(&failures.items[i]));
        stdout = terminal;
        if (fclose(memory)) {
                free(text);
                return copy_text("out of memory\n");
        }
        /* After a call that failed it is not known what comes next on the connection: the next
         * screen opens another. */
        if (failed)
                call_close(live->tool);
        return text;
}

/* As many lines as there is room for, each wiped to its end. */
static void print_lines(const char *text)
{
        size_t room = term_rows() - 2, lines = 0;
        for (const char *at = text; *at; at++)
                lines += *at == '\n';
        size_t shown = lines <= room ? lines : room - 1;
        for (size_t i = 0; i < shown; i++) {
                size_t len = strcspn(text, "\n");
                printf("\033[K%.*s\n", (int)len,
                       text); /* wiped first: behind a full line the cursor is still on it */
                text += len + 1;
        }
        if (shown < lines)
                printf("\033[K%s... %zu lines more%s", term_tint(TINT_FAINT), lines - shown, term_plain());
        fputs("\033[J", stdout);
}

static void draw(struct live *live)
{
        scoped(scoped_free) char *text = screen_text(live);
        char when[32] = "";
        time_t now = time(NULL);
        struct tm local = { 0 };
        if (localtime_r(&now, &local))
                (void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &local);
        printf("%s%s%s   q ends%s%s%s\n", term_moves() ? "\033[H" : "\n", term_tint(TINT_FAINT), when,
               live->connected ? "" : "   no daemon is reached", term_plain(), term_moves() ? "\033[K" : "");
        if (term_moves())
                print_lines(text);
        else
                fputs(text, stdout);
        fflush(stdout);
        live->due = false;
        live->drawn = time_monotonic_ms();
}

/* ---- what happens ---- */

static void lose_events(struct live *live)
{
        call_close(&live->events);
        live->connected = false;
        live->due = true;
}

static void begin_events(struct live *live)
{
        scoped(causes_free) struct causes unheard = { 0 };
        call_close(&live->events);
        live->connected = !call_stream_begin(&live->events, EMAIL("Monitor"), NULL, &unheard);
        live->due = true;
}

static void hear_events(struct live *live)
{
        scoped(causes_free) struct causes unheard = { 0 };
        json_t *answer = NULL;
        int found;
        while ((found = call_stream_next(&live->events, &answer, &unheard)) > 0) {
                live->due = live->due ||
                            json_is_object(json_object_get(answer, "event")); /* none: the stream has begun */
                json_decref(answer);
        }
        if (found < 0)
                lose_events(live);
}

/* True when the person has had enough. */
static bool hear_keys(void)
{
        char keys[64];
        ssize_t got = read(STDIN_FILENO, keys, sizeof(keys));
        if (got <= 0)
                return true;
        return memchr(keys, 'q', (size_t)got) || memchr(keys, 'Q', (size_t)got);
}

static int wait_ms(const struct live *live)
{
        int64_t since = time_monotonic_ms() - live->drawn;
        int64_t wanted = live->due ? DRAW_PAUSE_MS : live->connected ? DRAW_AGAIN_MS : REACH_MS;
        return since >= wanted ? 0 : (int)(wanted - since);
}

/* One turn; false at the end. */
static bool turn(struct live *live)
{
        struct pollfd ready[] = { { .fd = live->person ? STDIN_FILENO : -1, .events = POLLIN },
                                  { .fd = live->connected ? call_stream_fd(&live->events) : -1,
                                    .events = POLLIN } };
        int wait = wait_ms(live);
        struct timespec limit = { .tv_sec = wait / 1000, .tv_nsec = (long)(wait % 1000) * 1000000 };
        int count = ppoll(ready, count_of(ready), &limit, &live->waiting);
        if (signalled)
                return false;
        if (resized) {
                resized = 0;
                term_measure();
                live->due = true;
        }
        if (count > 0 && ready[0].revents && hear_keys())
                return false;
        if (count > 0 && ready[1].revents)
                hear_events(live);
        if (wait_ms(live) == 0) {
                if (!live->connected)
                        begin_events(live);
                draw(live);
        }
        return true;
}

int live_run(struct tool *tool, live_draw *drawn_by, void *arg)
{
        struct live live = { .tool = tool, .events = *tool, .draw = drawn_by, .arg = arg };
        if (!term_output() || tool->json)
                return tell_usage(
                        tool, "--watch is for a terminal; programs are told by: emailsecctl monitor --json");
        /* The same station, by a connection of its own. */
        live.events.calls = NULL;
        take_signals(&live);
        take_terminal(&live);
        begin_events(&live);
        draw(&live);
        while (turn(&live))
                continue;
        leave_terminal(&live);
        call_close(&live.events);
        return EXIT_DONE;
}
