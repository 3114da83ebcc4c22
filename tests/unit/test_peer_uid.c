/* SPDX-License-Identifier: MIT */
/* Whose connection it is: one that is held, one that was closed, one that is half closed, and addresses. */
#include "daemon/smtpd/peer_uid.h"
#include "daemon/smtpd/slots.h"

#include "daemon/loop.h"

#include <arpa/inet.h>
#include <check.h>
#include <unistd.h>

static int listening(int family)
{
        struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 ||
            bind(fd, family == AF_INET ? (void *)&four : (void *)&six,
                 family == AF_INET ? sizeof four : sizeof six) < 0 ||
            listen(fd, 8) < 0)
                return -1;
        return fd;
}

static int connected_to(int listener)
{
        struct sockaddr_storage address;
        socklen_t len = sizeof address;

        ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
        int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, len), 0);
        return fd;
}

static int accepted(int listener, struct sockaddr_storage *peer, struct sockaddr_storage *here)
{
        socklen_t len = sizeof *peer;
        int fd = accept(listener, (struct sockaddr *)peer, &len);

        ck_assert_int_ge(fd, 0);
        len = sizeof *here;
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)here, &len), 0);
        ck_assert(address_is_loopback(peer));
        return fd;
}

static int mapped_to(int listener)
{
        struct sockaddr_in four;
        struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
        socklen_t len = sizeof four;

        ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&four, &len), 0);
        six.sin6_port = four.sin_port;
        ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:127.0.0.1", &six.sin6_addr), 1);
        int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0)
                ck_assert_int_eq(connect(fd, (struct sockaddr *)&six, sizeof six), 0);
        return fd;
}

START_TEST(an_ipv6_socket_for_ipv4)
{
        struct sockaddr_storage peer, here;
        struct cause cause = { 0 };
        uid_t uid = 12345;
        int diag = peer_uid_open(&cause), listener = listening(AF_INET), client = mapped_to(listener);

        if (client >= 0) {
                int server = accepted(listener, &peer, &here);
                ck_assert_msg(peer_uid(diag, &peer, &here, &uid, &cause) == 0, "%s", cause.text);
                ck_assert_uint_eq(uid, geteuid());
                (void)close(server);
                (void)close(client);
        }
        (void)close(listener);
        (void)close(diag);
}
END_TEST

static void ask(int family)
{
        struct sockaddr_storage peer, here;
        struct cause cause = { 0 };
        uid_t uid = 12345;
        int diag = peer_uid_open(&cause), listener = listening(family);

        ck_assert_int_ge(diag, 0);
        if (listener < 0)
                return; /* no IPv6 here */
        int client = connected_to(listener), server = accepted(listener, &peer, &here);
        ck_assert_int_eq(peer_uid(diag, &peer, &here, &uid, &cause), 0);
        ck_assert_uint_eq(uid, geteuid());
        ck_assert_int_eq(shutdown(client, SHUT_WR), 0); /* it still listens to the answer */
        ck_assert_int_eq(peer_uid(diag, &peer, &here, &uid, &cause), 0);
        (void)close(client);
        uid = 12345;
        ck_assert_int_eq(peer_uid(diag, &peer, &here, &uid, &cause),
                         -1); /* of nobody's socket the kernel says 0 */
        ck_assert_uint_eq(uid, 12345);
        ck_assert_int_eq(cause.code, CAUSE_PERMISSION);
        (void)close(server);
        ck_assert_int_eq(peer_uid(diag, &peer, &here, &uid, &cause), -1);
        ck_assert_int_eq(peer_uid(-1, &peer, &here, &uid, &cause), -1);
        (void)close(listener);
        (void)close(diag);
}

START_TEST(whose_it_is)
{
        ask(AF_INET);
        ask(AF_INET6);
}
END_TEST

static struct sockaddr_storage address_of(const char *text)
{
        struct sockaddr_storage address = { .ss_family = strchr(text, ':') ? AF_INET6 : AF_INET };
        void *to = address.ss_family == AF_INET ? (void *)&((struct sockaddr_in *)&address)->sin_addr
                                                : (void *)&((struct sockaddr_in6 *)&address)->sin6_addr;

        ck_assert_int_eq(inet_pton(address.ss_family, text, to), 1);
        return address;
}

START_TEST(loopback_addresses)
{
        static const struct {
                const char *text;
                bool is;
        } cases[] = { { "127.0.0.1", true },   { "127.255.0.9", true },
                      { "::1", true },         { "::ffff:127.0.0.1", true },
                      { "128.0.0.1", false },  { "10.0.0.1", false },
                      { "::", false },         { "::ffff:10.0.0.1", false },
                      { "fe80::1", false },    { "0.0.0.0", false },
                      { "::127.0.0.1", false } };

        for (size_t i = 0; i < count_of(cases); i++) {
                struct sockaddr_storage address = address_of(cases[i].text);
                ck_assert_msg(address_is_loopback(&address) == cases[i].is, "%s", cases[i].text);
        }
}
END_TEST

static unsigned evicted;

static void evict(void *owner)
{
        (void)owner;
        evicted++;
}

static void fill(struct smtpd_slot *slots, size_t count, bool local, uid_t uid, const char *address)
{
        for (size_t i = 0; i < count; i++) {
                struct sockaddr_storage of = address_of(address);
                slots[i] = (struct smtpd_slot){ .local = local, .uid = uid, .evictable = true };
                smtpd_slot_address(&slots[i], &of);
                ck_assert(smtpd_slot_take(&slots[i], evict));
        }
}

START_TEST(places)
{
        enum { OF_ADDRESS = 64, OF_USER = 250 };
        static struct smtpd_slot crowd[OF_ADDRESS], users[OF_USER];
        struct sockaddr_storage same = address_of("192.0.2.7"), other = address_of("192.0.2.8");
        struct smtpd_slot one_more = { 0 }, another = { 0 }, user = { .local = true, .uid = 54321 },
                          neighbour = { .local = true, .uid = 54322 };
        struct cause cause;

        ck_assert_int_eq(loop_open(&cause), 0);
        loop_freeze(1000000, 0);
        fill(crowd, OF_ADDRESS, false, 0, "192.0.2.7");
        fill(users, OF_USER, true, 54321, "127.0.0.1");
        smtpd_slot_address(&one_more, &same);
        smtpd_slot_address(&another, &other);
        ck_assert(!smtpd_slot_take(&one_more, evict) && smtpd_slot_take(&another, evict));
        ck_assert(!smtpd_slot_take(&user, evict) && smtpd_slot_take(&neighbour, evict));
        ck_assert_uint_eq(evicted, 0);
        loop_advance(20000); /* they sleep */
        crowd[3].since -= 1000;
        ck_assert(smtpd_slot_take(&one_more, evict) && smtpd_slot_take(&user, evict));
        ck_assert_uint_eq(evicted, 2);
        ck_assert_ptr_null(crowd[3].link);
        for (size_t i = 0; i < OF_ADDRESS; i++)
                smtpd_slot_free(&crowd[i]);
        for (size_t i = 0; i < OF_USER; i++)
                smtpd_slot_free(&users[i]);
        smtpd_slot_free(&one_more);
        smtpd_slot_free(&another);
        smtpd_slot_free(&user);
        smtpd_slot_free(&neighbour);
        loop_close();
}
END_TEST

START_TEST(wrong_passwords_slow_down)
{
        struct smtpd_slot slot = { 0 }, other = { 0 };
        struct sockaddr_storage one = address_of("2001:db8::1"), near = address_of("2001:db8::2"),
                                far = address_of("2001:db8:1::1");
        struct cause cause;
        int64_t last = 0;

        ck_assert_int_eq(loop_open(&cause), 0);
        loop_freeze(1000000, 0);
        smtpd_slot_address(&slot, &one);
        for (int i = 0; i < 20; i++) {
                int64_t delay = smtpd_slot_failed(&slot);
                ck_assert(delay >= last && delay >= 500 && delay <= 30000);
                last = delay;
        }
        ck_assert_int_eq(last, 30000);
        smtpd_slot_address(&other, &near); /* the same /64 */
        ck_assert(smtpd_slot_is_barred(&slot) && smtpd_slot_is_barred(&other));
        smtpd_slot_address(&other, &far);
        ck_assert(!smtpd_slot_is_barred(&other));
        loop_advance(11 * 60 * 1000);
        ck_assert(!smtpd_slot_is_barred(&slot));
        ck_assert_int_eq(smtpd_slot_failed(&slot), 500);
        loop_close();
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("peer_uid");
        TCase *tcase = tcase_create("peer_uid");

        tcase_add_test(tcase, whose_it_is);
        tcase_add_test(tcase, an_ipv6_socket_for_ipv4);
        tcase_add_test(tcase, loopback_addresses);
        tcase_add_test(tcase, places);
        tcase_add_test(tcase, wrong_passwords_slow_down);
        suite_add_tcase(suite, tcase);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
