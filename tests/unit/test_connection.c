/* SPDX-License-Identifier: MIT */
/* Connections: addresses tried in turn, deadlines, every end, back-pressure, transports of every mood. */
#include "common/limits.h"
#include "daemon/wire/connection_parts.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

/* ---- what the user of a connection heard ---- */

static struct connection *c;
static struct buf got = { .max = 64 * MIB };
static size_t connects, secures, drains, ends;
static struct cause end_cause;
static void (*at_connected)(void), (*at_secured)(void), (*at_received)(void), (*at_drained)(void),
        (*at_ended)(void);

static void happened(size_t *count, void (*then)(void))
{
        ++*count;
        if (then)
                then();
        loop_end();
}
static void on_connected(unused_arg void *ctx)
{
        happened(&connects, at_connected);
}
static void on_secured(unused_arg void *ctx)
{
        happened(&secures, at_secured);
}
static void on_received(unused_arg void *ctx, const uint8_t *bytes, size_t len)
{
        size_t unused;

        ck_assert_int_eq(buf_append(&got, bytes, len), 0);
        happened(&unused, at_received);
}
static void on_drained(unused_arg void *ctx)
{
        happened(&drains, at_drained);
}
static void on_ended(unused_arg void *ctx, const struct cause *why)
{
        end_cause = *why;
        happened(&ends, at_ended);
}
static const struct connection_user test_user = {
        on_connected, on_secured, on_received, on_drained, on_ended,
};

static void close_it(void)
{
        connection_close(take(c));
}
static void abort_it(void)
{
        connection_abort(take(c));
}

/* ---- the peer ---- */

static int listener = -1, peer = -1;
static uint16_t port;

static int listen_on(int backlog, uint16_t *out_port)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t len = sizeof address;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
        if (backlog >= 0)
                ck_assert_int_eq(listen(fd, backlog), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
        *out_port = ntohs(address.sin_port);
        return fd;
}

static void open_to(const char *host, uint16_t to, unsigned seconds)
{
        c = connection_open(&(struct connection_request){ host, to, seconds, NULL }, &test_user, NULL);
}

static void open_and_accept(void)
{
        open_to("127.0.0.1", port, 30);
        ck_assert_uint_eq(connects, 0);
        while (!connects)
                loop_run();
        peer = accept(listener, NULL, NULL);
        ck_assert_int_ge(peer, 0);
}

static void peer_sends(const char *text)
{
        ck_assert_int_eq(send(peer, text, strlen(text), 0), (ssize_t)strlen(text));
}

static void wait_for_bytes(size_t len)
{
        while (got.len < len && !ends)
                loop_run();
        ck_assert_uint_eq(got.len, len);
}

static void wait_for_end(void)
{
        while (!ends)
                loop_run();
        for (size_t i = 0; i < 3; i++)
                loop_turn();
        ck_assert_uint_eq(ends, 1);
}

static void cut_off(int fd)
{
        struct linger hard = { .l_onoff = 1 };

        ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
        ck_assert_int_eq(close(fd), 0);
}

/* What the peer reads until the end; the caller frees. */
static char *peer_hears_all(void)
{
        struct buf out = BUF_WITH_MAX(MIB);
        char bytes[1024];
        ssize_t len;

        while ((len = recv(peer, bytes, sizeof bytes, 0)) > 0)
                ck_assert_int_eq(buf_append(&out, bytes, (size_t)len), 0);
        return buf_take_text(&out);
}

static void setup(void)
{
        ck_assert_int_eq(loop_open(NULL), 0);
        listener = listen_on(1000, &port);
}

static void teardown(void)
{
        connection_close(take(c));
        loop_close();
        close_fd(&listener);
        close_fd(&peer);
        buf_free(&got);
}

/* ---- connecting ---- */

START_TEST(bytes_go_both_ways)
{
        open_and_accept();
        ck_assert_str_eq(connection_address(c), "127.0.0.1");
        ck_assert_ptr_null(connection_transport(c));
        ck_assert_int_ge(connection_times(c).lookup, 0);
        ck_assert_int_ge(connection_times(c).connect, 0);
        ck_assert_int_eq(connection_times(c).handshake, -1);
        peer_sends("220 hello\r\n");
        wait_for_bytes(11);
        connection_write(c, "EHLO ", 5);
        connection_write(c, "x\r\n", 3);
        ck_assert_uint_eq(connection_unsent(c), 8);
        ck_assert_uint_eq(drains, 0);
        while (!drains)
                loop_run();
        ck_assert_uint_eq(connection_unsent(c), 0);
        connection_close(take(c));
        loop_turn();
        char *heard = peer_hears_all();
        ck_assert_str_eq(heard, "EHLO x\r\n");
        free(heard);
}
END_TEST

START_TEST(a_refused_port_is_told_with_its_remedy)
{
        uint16_t dead;
        int bound = listen_on(-1, &dead); /* held, so that nobody else listens there */
        char words[120];

        open_to("127.0.0.1", dead, 30);
        wait_for_end();
        ck_assert_int_eq(end_cause.code, CAUSE_CONNECT);
        (void)snprintf(words, sizeof words,
                       "could not connect to 127.0.0.1 port %u: 127.0.0.1: Connection refused", dead);
        ck_assert_str_eq(end_cause.text, words);
        ck_assert_ptr_nonnull(strstr(end_cause.remedy, "the port may be wrong"));
        close_fd(&bound);
}
END_TEST

static int fails_to_resolve(const char *host, unused_arg uint16_t number,
                            unused_arg struct sockaddr_storage *out, unused_arg int max, struct cause *cause)
{
        return cause_set(cause, CAUSE_RESOLVE, "no %s here", host);
}

START_TEST(a_failed_lookup_is_told)
{
        connection_use_resolver(fails_to_resolve);
        open_to("mail.example", 25, 30);
        wait_for_end();
        ck_assert_int_eq(end_cause.code, CAUSE_RESOLVE);
        ck_assert_str_eq(end_cause.text, "no mail.example here");
        ck_assert_int_eq(connection_fd(c), -1);
        ck_assert_str_eq(connection_address(c), "");
}
END_TEST

static sem_t begun, go_on;

static int hangs(unused_arg const char *host, unused_arg uint16_t number,
                 unused_arg struct sockaddr_storage *out, unused_arg int max, unused_arg struct cause *cause)
{
        sem_post(&begun);
        sem_wait(&go_on);
        return 0;
}

START_TEST(a_lookup_that_hangs_times_out)
{
        sem_init(&begun, 0, 0);
        sem_init(&go_on, 0, 0);
        connection_use_resolver(hangs);
        loop_freeze(1000, 0);
        open_to("mail.example", 25, 7);
        sem_wait(&begun);
        loop_advance(6999);
        ck_assert_uint_eq(ends, 0);
        loop_advance(1);
        wait_for_end();
        ck_assert_int_eq(end_cause.code, CAUSE_TIMEOUT);
        ck_assert_str_eq(end_cause.text, "timed out after 7 s while looking up the name mail.example");
        connection_close(take(c));
        sem_post(&go_on);
        ends = 0;
        open_to("mail.example", 25, 7); /* shares the lookup or begins one: both come back */
        sem_post(&go_on);
        wait_for_end();
}
END_TEST

/* ---- Happy Eyeballs ---- */

static struct addresses to_try;

static int the_addresses(unused_arg const char *host, unused_arg uint16_t number,
                         struct sockaddr_storage *out, unused_arg int max, unused_arg struct cause *cause)
{
        memcpy(out, to_try.items, to_try.count * sizeof *out);
        return (int)to_try.count;
}

static void add_address(uint16_t number)
{
        struct sockaddr_in *in = (struct sockaddr_in *)&to_try.items[to_try.count++];

        *in = (struct sockaddr_in){ .sin_family = AF_INET,
                                    .sin_port = htons(number),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* A port whose queue of connections is full: it never answers. */
struct black_hole {
        int listener, fillers[8];
        uint16_t port;
};

static void dig(struct black_hole *hole)
{
        hole->listener = listen_on(0, &hole->port);
        struct sockaddr_in in = { .sin_family = AF_INET,
                                  .sin_port = htons(hole->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        for (size_t i = 0; i < count_of(hole->fillers); i++) {
                hole->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                (void)connect(hole->fillers[i], (struct sockaddr *)&in, sizeof in);
        }
}

static void fill_in(struct black_hole *hole)
{
        for (size_t i = 0; i < count_of(hole->fillers); i++)
                close_fd(&hole->fillers[i]);
        close_fd(&hole->listener);
}

START_TEST(an_address_that_is_silent_gives_way_to_the_next)
{
        struct black_hole hole;

        dig(&hole);
        add_address(hole.port);
        add_address(port);
        connection_use_resolver(the_addresses);
        open_to("mail.example", port, 30);
        while (!connects && !ends)
                loop_run();
        ck_assert_uint_eq(connects, 1);
        ck_assert_int_ge(connection_times(c).connect, 250);
        ck_assert_int_lt(connection_times(c).connect, 10000);
        fill_in(&hole);
}
END_TEST

START_TEST(an_address_that_refuses_gives_way_at_once)
{
        uint16_t dead;
        int bound = listen_on(-1, &dead);

        add_address(dead);
        add_address(dead);
        add_address(port);
        connection_use_resolver(the_addresses);
        loop_freeze(1, 0); /* no time passes at all */
        open_to("mail.example", port, 30);
        while (!connects && !ends)
                loop_run();
        ck_assert_uint_eq(connects, 1);
        close_fd(&bound);
}
END_TEST

static int dialled_fd = -2;

static void on_dialled(unused_arg void *ctx, int fd, unused_arg const struct sockaddr_storage *who)
{
        dialled_fd = fd;
        loop_end();
}

START_TEST(attempts_begin_every_250_ms)
{
        struct black_hole hole;

        dig(&hole);
        add_address(hole.port);
        add_address(hole.port);
        add_address(port);
        loop_freeze(0, 0);
        struct dial *dial = dial_start(&to_try, on_dialled, NULL);
        for (size_t i = 0; i < 3; i++)
                loop_turn();
        char *reasons = dial_reasons(dial);
        ck_assert_str_eq(reasons, "127.0.0.1: no answer");
        free(reasons);
        loop_advance(249);
        reasons = dial_reasons(dial);
        ck_assert_str_eq(reasons, "127.0.0.1: no answer");
        free(reasons);
        loop_advance(1);
        reasons = dial_reasons(dial);
        ck_assert_str_eq(reasons, "127.0.0.1: no answer; 127.0.0.1: no answer");
        free(reasons);
        ck_assert_int_eq(dialled_fd, -2);
        loop_advance(250);
        loop_run();
        ck_assert_int_ge(dialled_fd, 0);
        ck_assert(!dial_was_refused(dial));
        dial_free(dial);
        dial_free(NULL);
        close_fd(&dialled_fd);
        fill_in(&hole);
}
END_TEST

START_TEST(connecting_in_vain_times_out_with_the_reasons)
{
        struct black_hole hole;
        uint16_t dead;
        int bound = listen_on(-1, &dead);

        dig(&hole);
        add_address(dead);
        add_address(hole.port);
        connection_use_resolver(the_addresses);
        loop_freeze(0, 0);
        open_to("mail.example", 465, 30);
        while (connection_times(c).lookup < 0)
                loop_turn();
        for (size_t i = 0; i < 5; i++)
                loop_turn();
        loop_advance(30000);
        wait_for_end();
        ck_assert_int_eq(end_cause.code, CAUSE_TIMEOUT);
        ck_assert_str_eq(end_cause.text, "timed out after 30 s while connecting to mail.example port 465: "
                                         "127.0.0.1: Connection refused; 127.0.0.1: no answer");
        fill_in(&hole);
        close_fd(&bound);
}
END_TEST

/* ---- ends and deadlines ---- */

START_TEST(an_orderly_end_has_no_cause)
{
        open_and_accept();
        peer_sends("bye");
        close_fd(&peer);
        wait_for_end();
        ck_assert_uint_eq(got.len, 3);
        ck_assert_int_eq(end_cause.code, CAUSE_NONE);
        connection_write(c, "x", 1); /* dead: nothing happens */
        connection_expect(c, 1, "x");
        connection_pause(c, true);
        connection_pause(c, false);
        loop_turn();
        ck_assert_uint_eq(ends, 1);
}
END_TEST

START_TEST(a_reset_is_told_as_such)
{
        open_and_accept();
        cut_off(peer);
        peer = -1;
        wait_for_end();
        ck_assert_int_eq(end_cause.code, CAUSE_CLOSED);
        ck_assert_ptr_nonnull(strstr(end_cause.text, "reset"));
}
END_TEST

START_TEST(the_last_words_are_heard_when_a_write_breaks)
{
        open_and_accept();
        connection_pause(c, true);
        connection_write(c, "EHLO x\r\n", 8);
        while (!drains)
                loop_run();
        peer_sends("421 go away\r\n");
        close_fd(&peer); /* with EHLO unread: a reset follows the 421 */
        connection_pause(c, false);
        connection_write(c, "MAIL\r\n", 6);
        wait_for_end();
        ck_assert_uint_eq(got.len, 13);
        connection_write(c, "x", 1);
}
END_TEST

START_TEST(a_deadline_names_what_was_awaited)
{
        loop_freeze(5000, 0);
        open_and_accept();
        loop_advance(60000); /* the one for connecting has gone */
        ck_assert_uint_eq(ends, 0);
        connection_expect(c, 10, "waiting for nothing");
        connection_expect(c, 30, "waiting for the greeting");
        loop_advance(29999);
        ck_assert_uint_eq(ends, 0);
        loop_advance(1);
        wait_for_end();
        ck_assert_int_eq(end_cause.code, CAUSE_TIMEOUT);
        ck_assert_str_eq(end_cause.text, "timed out after 30 s while waiting for the greeting");
}
END_TEST

START_TEST(no_deadline_at_all)
{
        loop_freeze(5000, 0);
        open_and_accept();
        connection_expect(c, 10, "waiting for the greeting");
        connection_expect(c, 0, NULL);
        loop_advance(1000000000);
        loop_turn();
        ck_assert_uint_eq(ends, 0);
}
END_TEST

/* What nothing waits before is not copied; who goes on has the memory of what was sent, and who does not
 * leaves none. */
static struct buf last_words;

static void say_more(void)
{
        at_drained = NULL;
        ck_assert_uint_eq(connection_unsent(c), 0);
        ck_assert_int_eq(buf_append_text(&last_words, "third\r\n"), 0);
        connection_write_all(c, &last_words);
}

START_TEST(all_that_a_buffer_holds_is_handed_over)
{
        last_words = BUF_WITH_MAX(100);
        open_and_accept();
        ck_assert_int_eq(buf_append_text(&last_words, "first\r\n"), 0);
        const uint8_t *memory = last_words.memory;
        connection_write_all(c, &last_words);
        ck_assert_ptr_eq(c->out.memory, memory);
        ck_assert_ptr_null(last_words.memory);
        ck_assert_int_eq(buf_append_text(&last_words, "second\r\n"), 0);
        connection_write_all(c, &last_words);
        ck_assert_uint_eq(last_words.len, 0);
        ck_assert_uint_eq(connection_unsent(c), 15);
        at_drained = say_more;
        loop_turn();
        ck_assert_uint_eq(connection_unsent(c), 0);
        ck_assert_uint_eq(drains, 2);
        loop_turn();
        ck_assert_ptr_null(c->out.memory);
        ck_assert_uint_eq(last_words.max, 100);
        buf_free(&last_words);
        connection_close(take(c));
        loop_turn();
        scoped(scoped_free) char *heard = peer_hears_all();
        ck_assert_str_eq(heard, "first\r\nsecond\r\nthird\r\n");
}
END_TEST

START_TEST(closing_says_what_was_queued)
{
        open_and_accept();
        connection_write(c, "QUIT\r\n", 6);
        connection_close(take(c));
        connection_close(NULL);
        connection_abort(NULL);
        loop_turn();
        char *heard = peer_hears_all();
        ck_assert_str_eq(heard, "QUIT\r\n");
        free(heard);
        ck_assert_uint_eq(drains, 0); /* no callback after it */
}
END_TEST

START_TEST(aborting_says_nothing)
{
        open_and_accept();
        connection_write(c, "QUIT\r\n", 6);
        connection_abort(take(c));
        loop_turn();
        char *heard = peer_hears_all();
        ck_assert_str_eq(heard, "");
        free(heard);
}
END_TEST

START_TEST(closing_waits_two_seconds_for_a_peer_that_does_not_read)
{
        static char much[16 * MIB];

        loop_freeze(0, 0);
        open_and_accept();
        connection_write(c, much, sizeof much);
        loop_turn();
        ck_assert_uint_gt(connection_unsent(c), 0);
        int fd = connection_fd(c);
        connection_close(take(c));
        loop_turn();
        loop_advance(1999);
        loop_turn();
        ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
        loop_advance(1);
        loop_turn();
        ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

START_TEST(closing_in_any_phase_and_callback)
{
        static void (**const places[])(void) = { &at_connected, &at_received, &at_drained, &at_ended };
        static void (*const ways[])(void) = { close_it, abort_it };
        bool in_received = places[_i / 2] == &at_received;

        *places[_i / 2] = ways[_i % 2];
        open_to("127.0.0.1", port, 30);
        while (!connects)
                loop_run();
        peer = accept(listener, NULL, NULL);
        ck_assert_int_ge(peer, 0);
        if (c)
                connection_write(c, "hello", 5);
        if (in_received)
                peer_sends("hello");
        else if (c && places[_i / 2] == &at_ended)
                close_fd(&peer);
        while (c)
                loop_run();
        loop_turn();
}
END_TEST

START_TEST(closing_before_anything_has_happened)
{
        uint16_t dead;
        int bound = listen_on(-1, &dead);

        for (int turns = 0; turns < 5; turns++) {
                open_to("127.0.0.1", turns % 2 ? port : dead, 30);
                for (int i = 0; i < turns && !connects && !ends; i++)
                        loop_turn();
                connection_close(take(c));
                loop_turn();
                connects = ends = 0;
        }
        close_fd(&bound);
}
END_TEST

/* ---- flow ---- */

START_TEST(nothing_is_received_while_paused)
{
        open_and_accept();
        connection_pause(c, true);
        ck_assert(!connection_has_unread(c));
        peer_sends("wait");
        for (size_t i = 0; i < 5; i++)
                loop_turn();
        ck_assert(connection_has_unread(c));
        ck_assert_uint_eq(got.len, 0);
        connection_pause(c, false);
        wait_for_bytes(4);
        ck_assert(!connection_has_unread(c));
}
END_TEST

static void pause_it(void)
{
        connection_pause(c, true);
}

static int gathered(void)
{
        int least = 0;
        socklen_t size = sizeof least;

        ck_assert_int_eq(getsockopt(connection_fd(c), SOL_SOCKET, SO_RCVLOWAT, &least, &size), 0);
        return least;
}

/* Of much that is to come the socket gathers some; of what stops, or ends, nothing stays in it. */
START_TEST(what_is_to_come_gathers_and_nothing_is_left_behind)
{
        open_and_accept();
        ck_assert_int_eq(gathered(), 1);
        connection_coming(c, 200 * KIB);
        ck_assert_int_eq(gathered(), 1);
        for (size_t i = 1; i <= 3; i++) {
                connection_coming(c, 1 * MIB);
                ck_assert_int_gt(gathered(), 10000);
                peer_sends("few");
                wait_for_bytes(3 * i);
        }
        connection_coming(c, 1 * MIB);
        connection_coming(c, 100);
        ck_assert_int_eq(gathered(), 1);
        connection_coming(c, 1 * MIB);
        peer_sends("last");
        close_fd(&peer);
        while (!ends)
                loop_run();
        ck_assert_mem_eq(buf_bytes(&got), "fewfewfewlast", 13);
        connection_coming(c, 1 * MIB); /* without effect: it is dead */
        close_it();
        loop_turn();
}
END_TEST

START_TEST(a_pause_in_received_holds_the_rest_back)
{
        static char much[200 * KIB];
        size_t before = 0;

        at_received = pause_it;
        open_and_accept();
        ck_assert_int_gt(send(peer, much, sizeof much, MSG_DONTWAIT), 64 * KIB);
        while (!got.len)
                loop_run();
        while (connection_has_unread(c)) {
                for (size_t i = 0; i < 3; i++)
                        loop_turn();
                ck_assert_uint_le(got.len - before, 64 * KIB); /* one piece a time */
                before = got.len;
                connection_pause(c, false);
                loop_turn();
        }
}
END_TEST

static void *echo(void *ctx)
{
        static char bytes[64 * KIB];
        int fd = *(int *)ctx;
        ssize_t len;

        while ((len = recv(fd, bytes, sizeof bytes, 0)) > 0)
                for (ssize_t sent = 0, more; sent < len; sent += more)
                        if ((more = send(fd, bytes + sent, (size_t)(len - sent), MSG_NOSIGNAL)) < 0)
                                return NULL;
        return NULL;
}

START_TEST(ten_mebibytes_there_and_back)
{
        static uint8_t much[10 * MIB];
        pthread_t thread;

        for (size_t i = 0; i < sizeof much; i++)
                much[i] = (uint8_t)(i * 2654435761u >> 13);
        open_and_accept();
        ck_assert_int_eq(pthread_create(&thread, NULL, echo, &peer), 0);
        connection_write(c, much, sizeof much);
        wait_for_bytes(sizeof much);
        ck_assert_mem_eq(buf_bytes(&got), much, sizeof much);
        ck_assert_uint_eq(drains, 1);
        connection_close(take(c));
        loop_turn();
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

enum { MANY = 400 };
static size_t many_connected, many_ended;

static void one_connected(unused_arg void *ctx)
{
        many_connected++;
}
static void one_received(unused_arg void *ctx, unused_arg const uint8_t *bytes, size_t len)
{
        ck_assert_uint_eq(len, 2);
}
static void one_ended(void *ctx, const struct cause *why)
{
        ck_assert_int_eq(why->code, CAUSE_NONE);
        connection_close(*(struct connection **)ctx);
        if (++many_ended == MANY)
                loop_end();
}

static void *greet_all(unused_arg void *ctx)
{
        for (size_t i = 0; i < MANY; i++) {
                int fd = accept(listener, NULL, NULL);
                if (fd < 0 || send(fd, "hi", 2, MSG_NOSIGNAL) != 2)
                        return ctx;
                (void)close(fd);
        }
        return NULL;
}

START_TEST(many_at_once)
{
        static const struct connection_user user = { one_connected, NULL, one_received, NULL, one_ended };
        static struct connection *all[MANY];
        pthread_t thread;
        void *failed;

        ck_assert_int_eq(pthread_create(&thread, NULL, greet_all, &many_ended), 0);
        for (size_t i = 0; i < MANY; i++)
                all[i] = connection_open(&(struct connection_request){ "127.0.0.1", port, 60, NULL }, &user,
                                         &all[i]);
        loop_run();
        ck_assert_int_eq(pthread_join(thread, &failed), 0);
        ck_assert_ptr_null(failed);
        ck_assert_uint_eq(many_connected, MANY);
        ck_assert_uint_le(sizeof(struct connection), 512);
}
END_TEST

/* ---- transports ---- */

/* Reads all that the socket has, gives it out byte by byte, XORed; waits for whatever
 * it is told to wait for. */
struct odd {
        struct transport transport;
        enum transport_result shakes[4]; /* what the handshake answers; 0 = TRANSPORT_DONE */
        size_t shaken;
        enum transport_result before_read, before_write; /* answered once instead; DONE = nothing */
        uint8_t inside[4096];
        size_t held, given;
        bool swallows; /* where it says that it wants to read: it has taken its share off the wire */
        size_t finished;
        bool *freed;
};

static struct odd *odd_of(struct transport *transport)
{
        return container_of(transport, struct odd, transport);
}
static enum transport_result odd_handshake(struct transport *transport, struct cause *cause)
{
        struct odd *odd = odd_of(transport);
        enum transport_result result = odd->shakes[odd->shaken++];

        if (result == TRANSPORT_FAILED)
                cause_set(cause, CAUSE_TLS, "odd");
        return result;
}
static enum transport_result odd_read(struct transport *transport, uint8_t *to, unused_arg size_t size,
                                      size_t *moved, unused_arg struct cause *cause)
{
        struct odd *odd = odd_of(transport);
        enum transport_result first = odd->before_read;

        odd->before_read = TRANSPORT_DONE;
        transport->holds = first == TRANSPORT_WANT_READ && odd->given < odd->held && !odd->swallows;
        if (first == TRANSPORT_WANT_READ && odd->swallows)
                transport->taken = WIRE_PER_WAKE;
        if (first != TRANSPORT_DONE)
                return first;
        if (odd->given == odd->held) {
                ssize_t len = recv(connection_fd(c), odd->inside, sizeof odd->inside, 0);
                if (len <= 0)
                        return len < 0 ? TRANSPORT_WANT_READ : TRANSPORT_END;
                odd->held = (size_t)len;
                odd->given = 0;
        }
        *to = odd->inside[odd->given++] ^ 0x20;
        *moved = 1;
        return TRANSPORT_DONE;
}
static enum transport_result odd_write(struct transport *transport, const uint8_t *from,
                                       unused_arg size_t len, size_t *moved, unused_arg struct cause *cause)
{
        struct odd *odd = odd_of(transport);
        enum transport_result first = odd->before_write;
        uint8_t byte = *from ^ 0x20;

        odd->before_write = TRANSPORT_DONE;
        if (first != TRANSPORT_DONE)
                return first;
        *moved = 1;
        return send(connection_fd(c), &byte, 1, MSG_NOSIGNAL) == 1 ? TRANSPORT_DONE : TRANSPORT_WANT_WRITE;
}
static void odd_finish(struct transport *transport)
{
        odd_of(transport)->finished++;
        if (c)
                (void)send(connection_fd(c), "Z", 1, MSG_NOSIGNAL);
}
static void odd_free(struct transport *transport)
{
        *odd_of(transport)->freed = true;
        free(odd_of(transport));
}

static bool odd_freed;
static struct odd *odd;

static struct odd *odd_new(void)
{
        struct odd *new = new_object(struct odd);

        new->transport = (struct transport){ .handshake = odd_handshake,
                                             .read = odd_read,
                                             .write = odd_write,
                                             .finish = odd_finish,
                                             .free = odd_free };
        new->freed = &odd_freed;
        return new;
}
static void secure_it(void)
{
        connection_secure(c, &odd->transport, 20);
}

static void open_secured(void)
{
        odd = odd_new();
        at_connected = secure_it;
        open_and_accept();
        while (!secures)
                loop_run();
}

START_TEST(a_handshake_waits_for_either_direction)
{
        odd = odd_new();
        odd->shakes[0] = TRANSPORT_WANT_WRITE;
        odd->shakes[1] = TRANSPORT_WANT_READ;
        at_connected = secure_it; /* TLS from the first byte: nothing plain is read */
        open_and_accept();
        ck_assert_ptr_eq(connection_transport(c), &odd->transport);
        connection_write(c, "ABC", 3); /* waits for the handshake */
        for (size_t i = 0; i < 5; i++)
                loop_turn();
        ck_assert_uint_eq(secures, 0);
        ck_assert_uint_eq(connection_unsent(c), 3);
        peer_sends("DEF");
        while (!secures)
                loop_run();
        ck_assert_int_ge(connection_times(c).handshake, 0);
        wait_for_bytes(3);
        ck_assert_mem_eq(buf_bytes(&got), "def", 3);
        while (!drains)
                loop_run();
        close_it();
        loop_turn();
        ck_assert(odd_freed);
        char *heard = peer_hears_all();
        ck_assert_str_eq(heard, "abc"); /* c is NULL by then: finish() was silent */
        free(heard);
}
END_TEST

/* It says that it wants to read, to give others their turn, and has more. */
START_TEST(bytes_that_the_transport_holds_come_in_the_next_turn)
{
        open_secured();
        memcpy(odd->inside, "ABCD", 4);
        odd->held = 4;
        odd->before_read = TRANSPORT_WANT_READ;
        peer_sends("E");
        wait_for_bytes(5);
        ck_assert_mem_eq(buf_bytes(&got), "abcde", 5);
        odd->before_read = TRANSPORT_WANT_READ;
        close_it();
        loop_turn();
}
END_TEST

/* Its share is over; whether the socket has more is not known, and not waited for. */
START_TEST(whose_share_is_over_has_its_turn_without_a_word_of_the_socket)
{
        open_secured();
        memcpy(odd->inside, "ABCD", 4);
        odd->held = 4;
        odd->swallows = true;
        odd->before_read = TRANSPORT_WANT_READ;
        connection_pause(c, true);
        connection_pause(c, false);
        wait_for_bytes(4);
        ck_assert_mem_eq(buf_bytes(&got), "abcd", 4);
}
END_TEST

START_TEST(bytes_inside_the_transport_come_after_a_pause)
{
        open_secured();
        at_received = pause_it;
        peer_sends("ABCD");
        wait_for_bytes(1);
        ck_assert(!connection_has_unread(c)); /* the socket is empty, the transport is not */
        for (size_t i = 2; i <= 4; i++) {
                loop_turn();
                ck_assert_uint_eq(got.len, i - 1);
                connection_pause(c, false);
                wait_for_bytes(i);
        }
}
END_TEST

START_TEST(reading_may_have_to_write_and_the_reverse)
{
        open_secured();
        loop_turn(); /* the read after the handshake */
        odd->before_read = TRANSPORT_WANT_WRITE;
        odd->before_write = TRANSPORT_WANT_READ;
        connection_write(c, "A", 1);
        loop_turn();
        loop_turn();
        ck_assert_uint_eq(connection_unsent(c), 1); /* waits until something can be read */
        peer_sends("B");
        wait_for_bytes(1);
        while (!drains)
                loop_run();
        ck_assert_uint_eq(connection_unsent(c), 0);
}
END_TEST

START_TEST(a_handshake_that_fails_ends_it)
{
        static const struct {
                enum transport_result result;
                enum cause_code code;
        } cases[] = { { TRANSPORT_FAILED, CAUSE_TLS }, { TRANSPORT_END, CAUSE_CLOSED } };

        odd = odd_new();
        odd->shakes[0] = cases[_i].result;
        at_connected = secure_it;
        open_and_accept();
        wait_for_end();
        ck_assert_int_eq(end_cause.code, cases[_i].code);
        ck_assert_uint_eq(secures, 0);
        ck_assert(!odd_freed); /* the owner may still ask it why */
        close_it();
        loop_turn();
        ck_assert(odd_freed);
}
END_TEST

START_TEST(a_handshake_has_a_deadline)
{
        loop_freeze(0, 0);
        odd = odd_new();
        odd->shakes[0] = TRANSPORT_WANT_READ;
        at_connected = secure_it;
        open_and_accept();
        connection_expect(c, 1, "not now");
        loop_advance(19999);
        ck_assert_uint_eq(ends, 0);
        loop_advance(1);
        wait_for_end();
        ck_assert_str_eq(end_cause.text,
                         "timed out after 20 s while waiting for the TLS handshake to finish");
}
END_TEST

START_TEST(an_end_inside_the_transport_is_answered)
{
        open_secured();
        ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
        wait_for_end();
        ck_assert_int_eq(end_cause.code, CAUSE_NONE);
        ck_assert_uint_eq(odd->finished, 1);
}
END_TEST

static void write_and_secure(void)
{
        connection_write(c, "STARTTLS\r\n", 10);
        secure_it();
}

START_TEST(a_go_ahead_before_its_command_was_sent_is_an_attack)
{
        odd = odd_new();
        open_and_accept();
        at_received = write_and_secure;
        peer_sends("220 go\r\n");
        wait_for_end();
        ck_assert_int_eq(end_cause.code, CAUSE_INJECTION);
        ck_assert_uint_eq(odd->shaken, 0);
        close_it();
        loop_turn();
        char *heard = peer_hears_all();
        ck_assert_str_eq(heard, "");
        free(heard);
}
END_TEST

START_TEST(after_secure_no_plain_byte_is_read)
{
        static char much[100 * KIB];

        odd = odd_new();
        odd->shakes[0] = TRANSPORT_WANT_READ;
        odd->shakes[1] = TRANSPORT_WANT_READ;
        open_and_accept();
        at_received = secure_it;
        ck_assert_int_gt(send(peer, much, sizeof much, MSG_DONTWAIT), 64 * KIB);
        while (odd->shaken < 2)
                loop_turn();
        ck_assert_uint_le(got.len, 64 * KIB); /* the piece in which it was secured */
        ck_assert(connection_has_unread(c));
        ck_assert_uint_eq(secures, 0);
}
END_TEST

/* ---- those that have much to read share a part of each turn ---- */

enum { FLOODS = 6, FLOOD = 200 * 1024 };

static size_t flood_calls, flood_bytes[FLOODS];

static void on_flood(void *ctx, unused_arg const uint8_t *bytes, size_t len)
{
        struct timespec began, now;

        *(size_t *)ctx += len;
        flood_calls++;
        (void)clock_gettime(CLOCK_MONOTONIC, &began);
        do /* work that takes longer than that part */
                (void)clock_gettime(CLOCK_MONOTONIC, &now);
        while ((now.tv_sec - began.tv_sec) * 1000000000 + now.tv_nsec - began.tv_nsec < 2000000);
}

START_TEST(a_crowd_that_floods_takes_little_of_a_turn)
{
        static const struct connection_user flooded = { on_connected, on_secured, on_flood, on_drained,
                                                        on_ended };
        struct connection *crowd[FLOODS];
        int peers[FLOODS];
        char *bytes = new_zeroed(FLOOD, 1);
        size_t before = 0, turns = 0, all = 0;

        for (size_t i = 0; i < FLOODS; i++) {
                crowd[i] = connection_open(&(struct connection_request){ "127.0.0.1", port, 30, NULL },
                                           &flooded, &flood_bytes[i]);
                while (connects <= i)
                        loop_run();
                peers[i] = accept(listener, NULL, NULL);
                ck_assert_int_eq(send(peers[i], bytes, FLOOD, 0), FLOOD);
        }
        for (; flood_calls < FLOODS; turns++) /* the first piece of each comes when it comes */
                loop_turn();
        for (; all < (size_t)FLOODS * FLOOD; turns++) {
                before = flood_calls;
                loop_turn();
                ck_assert_uint_le(flood_calls - before, 2);
                ck_assert_uint_lt(turns, 1000);
                all = 0;
                for (size_t i = 0; i < FLOODS; i++)
                        all += flood_bytes[i];
        }
        connection_close(crowd[0]);
        for (size_t i = 1; i < FLOODS; i++)
                connection_abort(crowd[i]);
        for (size_t i = 0; i < FLOODS; i++)
                close_fd(&peers[i]);
        loop_turn();
        free(bytes);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("connection");
        TCase *tests = tcase_create("connection");

        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, bytes_go_both_ways);
        tcase_add_test(tests, a_refused_port_is_told_with_its_remedy);
        tcase_add_test(tests, a_failed_lookup_is_told);
        tcase_add_test(tests, a_crowd_that_floods_takes_little_of_a_turn);
        tcase_add_test(tests, a_lookup_that_hangs_times_out);
        tcase_add_test(tests, an_address_that_is_silent_gives_way_to_the_next);
        tcase_add_test(tests, an_address_that_refuses_gives_way_at_once);
        tcase_add_test(tests, attempts_begin_every_250_ms);
        tcase_add_test(tests, connecting_in_vain_times_out_with_the_reasons);
        tcase_add_test(tests, an_orderly_end_has_no_cause);
        tcase_add_test(tests, a_reset_is_told_as_such);
        tcase_add_test(tests, the_last_words_are_heard_when_a_write_breaks);
        tcase_add_test(tests, a_deadline_names_what_was_awaited);
        tcase_add_test(tests, no_deadline_at_all);
        tcase_add_test(tests, all_that_a_buffer_holds_is_handed_over);
        tcase_add_test(tests, closing_says_what_was_queued);
        tcase_add_test(tests, aborting_says_nothing);
        tcase_add_test(tests, closing_waits_two_seconds_for_a_peer_that_does_not_read);
        tcase_add_loop_test(tests, closing_in_any_phase_and_callback, 0, 8);
        tcase_add_test(tests, closing_before_anything_has_happened);
        tcase_add_test(tests, nothing_is_received_while_paused);
        tcase_add_test(tests, what_is_to_come_gathers_and_nothing_is_left_behind);
        tcase_add_test(tests, a_pause_in_received_holds_the_rest_back);
        tcase_add_test(tests, ten_mebibytes_there_and_back);
        tcase_add_test(tests, many_at_once);
        tcase_add_test(tests, a_handshake_waits_for_either_direction);
        tcase_add_test(tests, bytes_that_the_transport_holds_come_in_the_next_turn);
        tcase_add_test(tests, whose_share_is_over_has_its_turn_without_a_word_of_the_socket);
        tcase_add_test(tests, bytes_inside_the_transport_come_after_a_pause);
        tcase_add_test(tests, reading_may_have_to_write_and_the_reverse);
        tcase_add_loop_test(tests, a_handshake_that_fails_ends_it, 0, 2);
        tcase_add_test(tests, a_handshake_has_a_deadline);
        tcase_add_test(tests, an_end_inside_the_transport_is_answered);
        tcase_add_test(tests, a_go_ahead_before_its_command_was_sent_is_an_attack);
        tcase_add_test(tests, after_secure_no_plain_byte_is_read);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
