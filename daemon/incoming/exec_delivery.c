/* SPDX-License-Identifier: MIT */
/*
 * Messages to a command (deliverTo=exec:COMMAND); see hand_on.h. The daemon runs none: emailsec-deliver does,
 * in a unit of its own for each message (common/deliver.h), so that what a command does or breaks is not the
 * station's. One message after the other for an account, LIMIT_DELIVER_COMMANDS at once for all of them; who
 * comes after that waits in line.
 */
#include "daemon/incoming/hand_on.h"

#include "common/deliver.h"
#include "common/json_fields.h"
#include "daemon/loop.h"
#include "daemon/settings.h"
#include "daemon/store/maildir.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

enum {
        ANSWER_SECONDS = DELIVER_GRACE * 2 + 10, /* beyond the command's own time */
};

struct exec_command {
        struct account *account;
        char *words;
        int64_t timeout;           /* seconds */
        struct delivery *delivery; /* whose message waits, or is on its way; NULL: none */
        char *call;
        int message;
        int socket; /* -1: it waits in line */
        struct watch *watch;
        struct timer *timer;
        struct buf answer;
        bool stopped;
        struct exec_command *next; /* in line */
};
static struct exec_command *line, **line_end = &line;
static unsigned running;

/* ---- what became of it ---- */

static void begin_next(void *ctx);

static void close_socket(struct exec_command *command)
{
        if (command->socket < 0)
                return;
        watch_free(take(command->watch));
        timer_stop(command->timer);
        close_fd(&command->socket);
        buf_free(&command->answer);
        running--;
        loop_later(begin_next, NULL);
}

static void leave_line(struct exec_command *command)
{
        for (struct exec_command **at = &line; *at; at = &(*at)->next) {
                if (*at != command)
                        continue;
                *at = command->next;
                if (!*at)
                        line_end = at;
                return;
        }
}

/* Ends the message: the delivery goes on by itself. */
static void finish(struct exec_command *command, enum handed what, const struct cause *why)
{
        struct delivery *delivery = take(command->delivery);

        leave_line(command);
        close_socket(command);
        close_fd(&command->message);
        free(take(command->call));
        delivery_handed(delivery, what, why);
}

static void put_off(struct exec_command *command, enum cause_code code, const char *what, const char *words,
                    const char *remedy)
{
        struct cause why;

        (void)cause_set(&why, code, "the command of deliverTo %s%s%s", what, words[0] ? ": " : "", words);
        cause_remedy(&why, "%s", remedy);
        finish(command, HANDED_LATER, &why);
}

static void give_back(struct exec_command *command, const char *how, const char *words)
{
        scoped(scoped_free) char *reply = text_of("%s%s%s", how, words[0] ? ": " : "", words);

        hand_on_refused(command->account, "the command of deliverTo", "command", command->words, reply);
        finish(command, HANDED_BACK, NULL);
}

/* By what a shell and sysexits.h mean. */
static void weigh(struct exec_command *command, const json_t *said)
{
        enum { CANNOT_RUN = 126, NOT_FOUND = 127 };
        const char *words = json_string_value(json_object_get(said, "lastLine"));
        const json_t *signal = json_object_get(said, "signal");
        int status = (int)json_integer_value(json_object_get(said, "status"));
        char how[80];

        words = words ? words : "";
        if (json_is_true(json_object_get(said, "timedOut"))) {
                (void)snprintf(how, sizeof how, "did not end within %lld s", (long long)command->timeout);
                put_off(command, CAUSE_TIMEOUT, how, words,
                        "see what keeps it, or raise the property deliverTimeout; the mail waits at the "
                        "server");
                return;
        }
        if (signal) {
                (void)snprintf(how, sizeof how, "ended by signal %lld",
                               (long long)json_integer_value(signal));
                give_back(command, how, words);
                return;
        }
        (void)snprintf(how, sizeof how, "%s exit status %d",
                       status == EX_TEMPFAIL ? "puts mail off, with" : "cannot be run:", status);
        switch (status) {
        case EX_OK:
                finish(command, HANDED_ON, NULL);
                break;
        case EX_TEMPFAIL:
                put_off(command, CAUSE_SERVER_BUSY, how, words,
                        "nothing to do if it passes by itself: the mail waits at the server");
                break;
        case CANNOT_RUN:
        case NOT_FOUND:
                put_off(command, CAUSE_COMMAND, how, words,
                        "see that what deliverTo names is there, can be run, and is within reach of "
                        "emailsec-deliver@.service; the mail waits at the server");
                break;
        default:
                (void)snprintf(how, sizeof how, "exit status %d", status);
                give_back(command, how, words);
                break;
        }
}

static void hear(void *ctx, unused_arg int what)
{
        struct exec_command *command = ctx;
        char piece[1024];
        ssize_t got = recv(command->socket, piece, sizeof piece, 0);

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (got > 0 && buf_append(&command->answer, piece, (size_t)got) == 0 &&
            !memchr(piece, '\0', (size_t)got))
                return;
        const char *text = (const char *)buf_bytes(&command->answer);
        json_t *said = text && memchr(text, '\0', command->answer.len) ? json_loads(text, 0, NULL) : NULL;
        if (json_is_integer(json_object_get(said, "status")) ||
            json_is_integer(json_object_get(said, "signal")))
                weigh(command, said);
        else
                put_off(command, CAUSE_CLOSED, "was cut off: emailsec-deliver gave no answer", "",
                        "journalctl -u 'emailsec-deliver@*' says why; the mail waits at the server");
        json_decref(said);
}

static void too_late(void *ctx)
{
        put_off(ctx, CAUSE_TIMEOUT, "has no answer from emailsec-deliver", "",
                "journalctl -u 'emailsec-deliver@*' says why; the mail waits at the server");
}

/* ---- the call ---- */

/* A local socket takes or refuses at once. -1 with errno. */
static int connect_to(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (strlen(path) >= sizeof address.sun_path) {
                errno = ENAMETOOLONG;
                return -1;
        }
        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
                int error = errno;
                close_fd(&fd);
                errno = error;
        }
        return fd;
}

/* The whole of it fits into what a socket takes at once. */
static int send_call(int fd, const char *call, int message)
{
        union {
                char bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec place = { (char *)(uintptr_t)call, strlen(call) + 1 };
        struct msghdr header = { .msg_iov = &place,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof control.bytes };
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);

        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof message);
        memcpy(CMSG_DATA(rights), &message, sizeof message);
        return sendmsg(fd, &header, MSG_NOSIGNAL) == (ssize_t)place.iov_len ? 0 : -1;
}

static char *socket_path(void)
{
        const char *control = settings_current()->control_socket;
        const char *slash = strrchr(control, '/');

        return text_of("%.*s/" DELIVER_SOCKET, slash ? (int)(slash - control) : 0, control);
}

static void begin(struct exec_command *command)
{
        scoped(scoped_free) char *path = socket_path();
        int fd = connect_to(path);

        if (fd < 0 || send_call(fd, command->call, command->message) < 0) {
                scoped(scoped_free) char *what = text_of("cannot be handed to emailsec-deliver at %s", path);
                const char *why = strerror(errno);
                close_fd(&fd);
                put_off(command, CAUSE_CONNECT, what, why,
                        "systemctl enable --now emailsec-deliver.socket; the mail waits at the server");
                return;
        }
        running++;
        command->socket = fd;
        command->answer = BUF_WITH_MAX(LIMIT_DELIVER_ANSWER);
        command->watch = watch_new(fd, hear, command);
        watch_for(command->watch, WATCH_READ);
        timer_set(command->timer, (command->timeout + ANSWER_SECONDS) * 1000);
}

static void begin_next(unused_arg void *ctx)
{
        while (line && running < LIMIT_DELIVER_COMMANDS) {
                struct exec_command *command = line;
                leave_line(command);
                begin(command);
        }
}

static char *call_of(const struct exec_command *command, const struct given *given)
{
        json_t *call = json_object(), *environment = json_object();
        scoped(scoped_free) char *size = text_of("%llu", (unsigned long long)given->size);
        scoped(scoped_free) char *uid = given->uid ? text_of("%u", given->uid) : copy_text("");
        const struct {
                const char *name, *value;
        } values[] = {
                { "EMAILSEC_ACCOUNT", command->account->name },
                { "EMAILSEC_FOLDER", given->folder },
                { "EMAILSEC_UID", uid },
                { "EMAILSEC_SIZE", size },
                { "EMAILSEC_ID", given->id },
                { "EMAILSEC_FROM", given->from },
                { "EMAILSEC_SUBJECT", given->subject },
                { "EMAILSEC_DATE", given->date },
                { "EMAILSEC_MESSAGE_ID", given->message_id },
        };

        for (size_t i = 0; i < count_of(values); i++)
                json_put_text(environment, values[i].name, values[i].value ? values[i].value : "");
        json_put_text(call, "command", command->words);
        json_put(call, "timeout", json_integer(command->timeout));
        json_put(call, "environment", environment);
        char *text = json_dumps(call, JSON_COMPACT);
        json_decref(call);
        if (!text)
                abort(); /* as new_object */
        return text;
}

/* ---- from outside ---- */

static void *exec_new(struct account *account)
{
        const char *words = properties_delivery_command(&account->values);

        if (!words)
                return NULL;
        struct exec_command *command = new_object(struct exec_command);
        *command = (struct exec_command){ .account = account,
                                          .words = copy_text(words),
                                          .message = -1,
                                          .socket = -1,
                                          .timeout = prop_number(&account->values, PROP_DELIVER_TIMEOUT),
                                          .timer = timer_new(too_late, command) };
        return command;
}

static void cancel(struct exec_command *command)
{
        struct cause why;

        (void)cause_set(&why, CAUSE_CANCELLED, "the session was ended");
        finish(command, HANDED_LATER, &why);
}

static void exec_give(void *ctx, struct delivery *delivery, const struct given *given)
{
        struct exec_command *command = ctx;

        command->delivery = delivery;
        command->message = given->fd;
        command->call = call_of(command, given);
        if (command->stopped) {
                cancel(command);
                return;
        }
        command->next = NULL;
        *line_end = command;
        line_end = &command->next;
        begin_next(NULL);
}

static void exec_stop(void *ctx)
{
        struct exec_command *command = ctx;

        command->stopped = true;
        if (command->delivery)
                cancel(command);
}

static void exec_free(void *ctx)
{
        struct exec_command *command = ctx;

        exec_stop(command);
        timer_free(command->timer);
        free(command->words);
        free(command);
}

const struct hand_on_way hand_on_exec = {
        .begin = exec_new, .give = exec_give, .stop = exec_stop, .free = exec_free
};
