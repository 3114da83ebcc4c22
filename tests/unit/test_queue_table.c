/* SPDX-License-Identifier: MIT */
/* The queue on a real database: submission, claims, outcomes, changes, crashes, a disk that fails. */
#include "common/times.h"
#include "daemon/store/disk.h"
#include "daemon/store/kept.h"
#include "daemon/store/queue_body.h"
#include "daemon/store/queue_table.c"
#include "daemon/store/taking.h"

#include "daemon/journal.h"
#include "daemon/messages.h"
#include "queue_answers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- ids ---- */

START_TEST(ids_there_and_back)
{
        const uint64_t numbers[] = { 1, 2, 3, 31, 32, 33, 1000, 1000000, UINT64_C(34359738367) };
        uint64_t low;

        for (size_t i = 0; i < count_of(numbers); i++) {
                char id[QUEUE_ID_SIZE], next[QUEUE_ID_SIZE];
                queue_id_of(numbers[i], id);
                queue_id_of(numbers[i] + 1, next);
                ck_assert_uint_eq(strlen(id), QUEUE_ID_DIGITS + QUEUE_ID_SUFFIX);
                ck_assert_int_ne(id[0], next[0]);
                ck_assert_int_eq(id_bits(id, &low), 5 * QUEUE_ID_DIGITS);
                ck_assert_uint_eq(low, numbers[i] & ID_MASK);
                for (int len = QUEUE_ID_DIGITS - 1; len > 0; len--) {
                        id[len] = '\0';
                        ck_assert_int_eq(id_bits(id, &low), 5 * len);
                        ck_assert_uint_eq(low, numbers[i] & ((UINT64_C(1) << (5 * len)) - 1));
                }
        }
        const char *const bad[] = { "", "u", "abcdefghijkl", "a b", "0000000???", "*" };
        for (size_t i = 0; i < count_of(bad); i++)
                ck_assert_int_eq(id_bits(bad[i], &low), -1);
}
END_TEST

START_TEST(short_ids)
{
        struct submission s = plain("out");
        struct submitted first = submit_well(&s), last = first;
        struct json_answer answer = { 0 };

        for (int i = 0; i < 40; i++)
                last = submit_well(&s);
        for (int len = 2; len < 11; len++) { /* 41 messages: two digits are always enough */
                char *part = copy_bytes(last.id, (size_t)len);
                json_t *message = get(part);
                check_text(message, "id", last.id);
                json_decref(message);
                free(part);
        }
        first.id[1] = '\0';
        queue_get(first.id, on_json, &answer);
        wait_for(&answer.answer);
        ck_assert_int_eq((int)answer.answer.cause.code, CAUSE_AMBIGUOUS);
        answer = (struct json_answer){ 0 };
        queue_get("0000000000", on_json, &answer);
        wait_for(&answer.answer);
        ck_assert_int_eq((int)answer.answer.cause.code, CAUSE_NOT_FOUND);
}
END_TEST

/* ---- submission ---- */

START_TEST(submitted_message)
{
        const char *two[] = { "a@example.com", "b@example.com" };
        struct submission s = plain("out");

        s.recipients = two;
        s.recipient_count = 2;
        s.priority = 1;
        struct submitted done = submit_well(&s);
        json_t *message = get(done.id);
        check_text(message, "id", done.id);
        check_text(message, "account", "out");
        check_text(message, "state", "queued");
        check_text(message, "priority", "urgent");
        check_text(message, "from", "from@example.com");
        check_text(message, "submitted", "2026-11-23T18:51:00Z");
        check_text(message, "submittedBy", "test (uid 0)");
        ck_assert(json_is_null(json_object_get(message, "nextAttempt")));
        ck_assert(json_is_null(json_object_get(message, "cause")));
        ck_assert_uint_eq(json_array_size(json_object_get(message, "recipients")), 2);
        ck_assert_uint_eq(json_array_size(json_object_get(message, "history")), 0);
        check_text(json_array_get(json_object_get(message, "recipients"), 1), "address", "b@example.com");
        json_decref(message);
        check_counts("out", QUEUE_QUEUED, 1);
        check_counts(NULL, QUEUE_QUEUED, 1);
        check_counts("other", QUEUE_QUEUED, 0);
        reclose();
        reopen();
        check_counts("out", QUEUE_QUEUED, 1);
        check_state(done.id, "queued");
}
END_TEST

/* Seconds until it would fail, as it is shown; -1: not shown. */
static int64_t shown_left(const char *id)
{
        json_t *message = get(id);
        const char *text = json_string_value(json_object_get(message, "expires"));
        time_t then = 0;

        ck_assert(!text || time_parse(text, &then, NULL) == 0);
        json_decref(message);
        return text ? (int64_t)then - (int64_t)loop_wall() : -1;
}

static void check_left(const char *id, int64_t want)
{
        int64_t left = shown_left(id);

        ck_assert_msg(left > want - 60 && left <= want, "%lld s are left, not %lld", (long long)left,
                      (long long)want);
}

START_TEST(expiry_is_shown_by_the_clock_of_the_account)
{
        struct submission s = plain("out");

        s.lifetime = 100000;
        kept_set_number("out", KEPT_PAUSED_SECONDS, (int64_t)loop_wall() - 50); /* its clock shows 50 */
        struct submitted done = submit_well(&s), other = submit_well(&s);
        check_left(done.id, 100000);
        kept_add("out", KEPT_PAUSED_SECONDS, -3600); /* it has run for an hour */
        check_left(done.id, 96400);
        kept_set_number("out", KEPT_STOPPED_SINCE, (int64_t)loop_wall() - 3000); /* and stands still */
        check_left(done.id, 99400);
        change_well(QUEUE_HOLD, done.id, NULL);
        ck_assert_int_eq(shown_left(done.id), -1);
        change_well(QUEUE_RELEASE, done.id, NULL);
        check_left(done.id, 100000); /* begins anew with the next look */
        struct claimed claimed = claim("out", NOW, 2);
        settle(claimed.messages[0]->seq, QUEUE_SENT, 0);
        settle(claimed.messages[1]->seq, QUEUE_FAILED, 0);
        free_claimed(&claimed);
        ck_assert_int_eq(shown_left(done.id), -1);
        ck_assert_int_eq(shown_left(other.id), -1);
}
END_TEST

START_TEST(same_key_same_id)
{
        struct submission s = plain("out");
        struct submitted a = { 0 }, b = { 0 }, c = { 0 };

        s.key = "key-1";
        queue_submit(&s, on_submitted, &a); /* in one commit */
        queue_submit(&s, on_submitted, &b);
        s.submitted_by = "other (uid 1)";
        queue_submit(&s, on_submitted, &c);
        wait_well(&a.answer);
        wait_well(&b.answer);
        wait_well(&c.answer);
        ck_assert_str_eq(a.id, b.id);
        ck_assert_int_eq(a.duplicate + b.duplicate, 1); /* intake may end in either order */
        ck_assert_str_ne(a.id, c.id);
        ck_assert(!c.duplicate);
        reclose();
        reopen();
        struct submitted d = submit_well(&s);
        ck_assert_str_eq(c.id, d.id);
        ck_assert(d.duplicate);
        check_counts("out", QUEUE_QUEUED, 2);
}
END_TEST

START_TEST(full_queue)
{
        struct submission s = plain("out");
        struct submitted many[5] = { 0 };
        int full = 0;

        s.max_queue = 3;
        for (int i = 0; i < 5; i++)
                queue_submit(&s, on_submitted, &many[i]);
        for (int i = 0; i < 5; i++) {
                wait_for(&many[i].answer);
                full += many[i].answer.failed && many[i].answer.cause.code == CAUSE_QUEUE_FULL;
        }
        ck_assert_int_eq(full, 2);
        check_counts("out", QUEUE_QUEUED, 3);
        s = plain("other");
        s.max_disk = queue_counts(NULL).bytes + 10;
        struct submitted done = submit(&s);
        ck_assert_int_eq((int)done.answer.cause.code, CAUSE_QUEUE_FULL);
        check_counts("other", QUEUE_QUEUED, 0);
}
END_TEST

START_TEST(bad_submissions)
{
        struct submission s = plain("out");
        int ends[2];

        ck_assert_int_eq(pipe(ends), 0);
        s.fd = ends[0];
        struct submitted done = submit(&s);
        ck_assert_int_eq((int)done.answer.cause.code, CAUSE_INVALID);
        ck_assert_str_eq(done.answer.cause.property, "descriptor");
        close(ends[1]);
        s = plain("out");
        s.rules.max_size = 20;
        done = submit(&s);
        ck_assert_int_eq((int)done.answer.cause.code, CAUSE_TOO_LARGE);
        s = plain("out");
        s.bytes = "a\0b";
        s.len = 3;
        done = submit(&s);
        ck_assert_int_eq((int)done.answer.cause.code, CAUSE_UNSENDABLE);
        s = plain("out");
        s.recipient_count = 0;
        done = submit(&s);
        ck_assert_int_eq((int)done.answer.cause.code, CAUSE_INVALID);
        check_counts(NULL, QUEUE_QUEUED, 0);
}
END_TEST

/* A memfd with this at its beginning, and of this size. */
static int file_of(const char *beginning, off_t size)
{
        int fd = memfd_create("message", MFD_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(ftruncate(fd, size), 0);
        ck_assert_int_eq(pwrite(fd, beginning, strlen(beginning), 0), (ssize_t)strlen(beginning));
        return fd;
}

START_TEST(intake_is_bounded_by_what_is_read)
{
        struct submission s = plain("out");
        const size_t many = 3 * MIB;
        char *bcc = new_zeroed(1, many + 1);

        s.rules.max_size = MIB;
        s.fd = file_of("Subject: x\n\n", INT64_C(1) << 62);
        struct submitted done = submit(&s);
        ck_assert_int_eq((int)done.answer.cause.code, CAUSE_TOO_LARGE);
        /* A line that does not end. */
        s.rules.max_size = 50 * MIB;
        memset(bcc, 'a', many);
        s.fd = file_of(bcc, (off_t)many);
        done = submit(&s);
        ck_assert_int_eq((int)done.answer.cause.code, CAUSE_UNSENDABLE);
        ck_assert_str_eq(done.answer.cause.text, "line 1 is over 1,000,000 bytes long; a line may have 998");
        /* Fields that are dropped. */
        for (size_t at = 0; at < many; at += 8)
                memcpy(bcc + at, "Bcc: ab\n", 8);
        s.fd = file_of(bcc, (off_t)many);
        done = submit(&s);
        ck_assert_int_eq((int)done.answer.cause.code, CAUSE_TOO_LARGE);
        check_counts(NULL, QUEUE_QUEUED, 0);
        free(bcc);
}
END_TEST

START_TEST(given_up_while_it_is_read)
{
        struct submission s = plain("out");
        struct submitted one = { 0 }, other = { 0 };

        s.fd = file_of("Subject: x\n\n", 20 * MIB);
        uint64_t ticket = queue_submit(&s, on_submitted, &one);
        taking_cancel(ticket);
        ck_assert(one.answer.came);
        ck_assert_int_eq((int)one.answer.cause.code, CAUSE_CANCELLED);
        taking_cancel(ticket); /* a second time does nothing */
        s = plain("out");
        ticket = queue_submit(&s, on_submitted, &other);
        wait_well(&other.answer);
        taking_cancel(ticket); /* too late */
        check_counts(NULL, QUEUE_QUEUED, 1);
}
END_TEST

/* Nothing of it is left in the line behind those that are being read. */
START_TEST(given_up_before_it_is_read)
{
        struct submission s = plain("out");
        struct submitted ahead[LIMIT_INTAKES_OF_USER] = { 0 }, late = { 0 };

        scoped(scoped_free) char *lines = new_zeroed(MIB, 1); /* small ones need no thread */
        memset(lines, '\n', MIB);
        s.bytes = lines;
        s.len = MIB;
        for (size_t i = 0; i < count_of(ahead); i++)
                queue_submit(&s, on_submitted, &ahead[i]);
        s.fd = file_of("Subject: x\n\n", MIB);
        uint64_t ticket = queue_submit(&s, on_submitted, &late);
        taking_cancel(ticket);
        ck_assert_int_eq((int)late.answer.cause.code, CAUSE_CANCELLED);
        ck_assert_int_eq(fcntl(s.fd, F_GETFD), -1);
        taking_cancel(ticket);
        for (size_t i = 0; i < count_of(ahead); i++)
                wait_well(&ahead[i].answer);
        check_counts(NULL, QUEUE_QUEUED, count_of(ahead));
}
END_TEST

/* What is small and in memory, or in a memfd that nobody can change, is read while all threads of its user
 * read. */
START_TEST(small_ones_need_no_thread)
{
        struct submission s = plain("out");
        struct submitted ahead[LIMIT_INTAKES_OF_USER + 1] = { 0 }, small = { 0 }, sealed = { 0 },
                                                       huge = { 0 };
        uint64_t tickets[count_of(ahead)];

        for (size_t i = 0; i < count_of(ahead); i++) {
                s.fd = file_of("Subject: x\n\n", 20 * MIB);
                tickets[i] = queue_submit(&s, on_submitted, &ahead[i]);
        }
        s = plain("out");
        queue_submit(&s, on_submitted, &small);
        s.fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        ck_assert_int_eq(pwrite(s.fd, "Subject: x\n\nbody\n", 17, 0), 17);
        ck_assert_int_eq(fcntl(s.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
        scoped(scoped_close) int same = dup(s.fd);
        queue_submit(&s, on_submitted, &sealed);
        ck_assert_int_eq(lseek(same, 0, SEEK_CUR), 17); /* no thread comes free before the loop turns */
        s.fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        ck_assert_int_eq(pwrite(s.fd, "Subject: x\n\nbody\n", 17, 0), 17);
        ck_assert_int_eq(fallocate(s.fd, FALLOC_FL_KEEP_SIZE, 0, MIB), 0);
        ck_assert_int_eq(fcntl(s.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
        scoped(scoped_close) int other = dup(s.fd);
        queue_submit(&s, on_submitted, &huge);
        ck_assert_int_eq(lseek(other, 0, SEEK_CUR), 0);
        for (size_t i = 0; i < count_of(ahead); i++)
                taking_cancel(tickets[i]);
        wait_well(&small.answer);
        wait_well(&sealed.answer);
        wait_well(&huge.answer);
        check_counts(NULL, QUEUE_QUEUED, 3);
}
END_TEST

/* ---- bodies ---- */

/* Sizes around the chunks and the limit of memory. */
static const size_t sizes[] = { 1000, BODY_CHUNK - 100, BODY_CHUNK, BODY_CHUNK + 1, 3 * BODY_CHUNK, 5 * MIB };

START_TEST(bodies_come_back)
{
        size_t lines = sizes[_i] / 64;
        struct buf text = BUF_WITH_MAX(16 * MIB);
        struct body body = { .bytes = BUF_WITH_MAX(16 * MIB) };
        struct submission s = plain("out");

        ck_assert_int_eq(buf_append_text(&text, "Date: d\r\nMessage-ID: <m@x>\r\nFrom: f\r\n\r\n"), 0);
        for (size_t i = 0; i < lines; i++)
                ck_assert_int_eq(buf_appendf(&text, "%061zu\r\n", i), 0);
        s.fd = memfd_create("message", MFD_CLOEXEC);
        ck_assert_int_eq(write(s.fd, buf_bytes(&text), text.len), (ssize_t)text.len);
        submit_well(&s);
        struct claimed claimed = claim("out", NOW, 1);
        ck_assert_uint_eq(claimed.count, 1);
        const struct queued_message *message = claimed.messages[0];
        ck_assert_uint_eq(message->size, text.len);
        ck_assert_str_eq(message->message_id, "<m@x>");
        ck_assert_int_eq(buf_append(&body.bytes, message->first, message->first_len), 0);
        while (body.bytes.len < message->size) {
                body.answer.came = false;
                queue_read_body(message->seq, body.bytes.len, on_body, &body);
                wait_well(&body.answer);
        }
        ck_assert_mem_eq(buf_bytes(&body.bytes), buf_bytes(&text), text.len);
        body.answer.came = false;
        queue_read_body(message->seq, message->size + BODY_CHUNK, on_body, &body);
        wait_for(&body.answer);
        ck_assert(body.answer.failed);
        free_claimed(&claimed);
        buf_free(&text);
        buf_free(&body.bytes);
}
END_TEST

/* ---- sending ---- */

START_TEST(claims_urgent_first_then_oldest)
{
        struct submission s = plain("out"), urgent = plain("out");
        char ids[5][QUEUE_ID_SIZE];

        urgent.priority = 1;
        const struct submission *const order[] = { &s, &s, &urgent, &s, &urgent };
        for (size_t i = 0; i < count_of(order); i++)
                memcpy(ids[i], submit_well(order[i]).id, QUEUE_ID_SIZE);
        const int want[] = { 2, 4, 0, 1 };
        struct claimed claimed = claim("out", NOW, 4);
        ck_assert_uint_eq(claimed.count, 4);
        for (size_t i = 0; i < 4; i++)
                ck_assert_str_eq(claimed.messages[i]->id, ids[want[i]]);
        ck_assert_int_eq(claimed.messages[0]->expires_clock, 1050);
        check_counts("out", QUEUE_SENDING, 4);
        check_counts("out", QUEUE_QUEUED, 1);
        /* The oldest is deferred; when its time has come it is before what is younger. */
        settle(claimed.messages[2]->seq, QUEUE_DEFERRED, NOW + 60);
        struct claimed none = claim("other", NOW, 4);
        ck_assert_uint_eq(none.count, 0);
        ck_assert_int_eq(none.next_due, 0);
        struct claimed later = claim("out", NOW + 59, 0);
        ck_assert_int_eq(later.next_due, NOW + 60);
        later = claim("out", NOW + 60, 4);
        ck_assert_uint_eq(later.count, 2);
        ck_assert_str_eq(later.messages[0]->id, ids[0]);
        ck_assert_uint_eq(later.messages[0]->recipients[0].attempts, 1);
        ck_assert_str_eq(later.messages[1]->id, ids[3]);
        free_claimed(&claimed);
        free_claimed(&later);
}
END_TEST

START_TEST(outcomes_by_recipient)
{
        const char *four[] = { "a@x", "b@x", "c@x", "d@x" };
        struct submission s = plain("out");

        s.recipients = four;
        s.recipient_count = 4;
        struct submitted done = submit_well(&s);
        struct claimed claimed = claim("out", NOW, 1);
        uint64_t seq = claimed.messages[0]->seq;
        ck_assert_uint_eq(claimed.messages[0]->recipient_count, 4);
        struct settled_recipient results[] = {
                { .index = 0, .state = QUEUE_SENT, .reply = "250 ok" },
                { .index = 1,
                  .state = QUEUE_DEFERRED,
                  .next_attempt = NOW + 100,
                  .reply = "451 later",
                  .enhanced = "4.2.0",
                  .cause = CAUSE_DEFERRED },
                { .index = 2,
                  .state = QUEUE_FAILED,
                  .reply = "550 no",
                  .enhanced = "",
                  .cause = CAUSE_REFUSED },
                { .index = 3, .state = QUEUE_AMBIGUOUS, .next_attempt = NOW + 50, .cause = CAUSE_CLOSED },
        };
        struct settlement settlement = { .seq = seq,
                                         .time = NOW,
                                         .host = "h:465",
                                         .tls = "",
                                         .result = "mixed",
                                         .recipients = results,
                                         .recipient_count = 4 };
        struct answer answer = { 0 };
        queue_settle(&settlement, answered, &answer);
        wait_well(&answer);
        json_t *message = get(done.id);
        check_text(message, "state", "deferred");
        check_text(message, "cause", "Deferred");
        check_text(message, "nextAttempt", "2026-11-23T18:51:50Z");
        static const char *const states[] = { "sent", "deferred", "failed", "ambiguous" };
        for (size_t i = 0; i < 4; i++)
                check_text(json_array_get(json_object_get(message, "recipients"), i), "state", states[i]);
        check_text(json_array_get(json_object_get(message, "recipients"), 1), "enhancedCode", "4.2.0");
        check_text(json_array_get(json_object_get(message, "history"), 0), "result", "mixed");
        ck_assert_int_eq(json_integer_value(json_object_get(message, "attempts")), 1);
        json_decref(message);
        check_counts("out", QUEUE_DEFERRED, 1);
        free_claimed(&claimed);
        /* The ambiguous one comes due first, alone, and is told as one that may have been sent. */
        claimed = claim("out", NOW + 50, 1);
        ck_assert_uint_eq(claimed.messages[0]->recipient_count, 1);
        ck_assert_str_eq(claimed.messages[0]->recipients[0].address, "d@x");
        ck_assert(claimed.messages[0]->maybe_sent);
        queue_unclaim(seq);
        written();
        check_state(done.id, "deferred");
        free_claimed(&claimed);
}
END_TEST

START_TEST(sent_message_loses_its_body)
{
        struct submission s = plain("out");
        struct submitted done = submit_well(&s);
        struct claimed claimed = claim("out", NOW, 1);
        struct body body = { .bytes = BUF_WITH_MAX(1000) };

        settle(claimed.messages[0]->seq, QUEUE_SENT, 0);
        check_state(done.id, "sent");
        check_counts("out", QUEUE_SENT, 1);
        ck_assert_uint_eq(queue_counts("out").bytes, 0);
        queue_read_body(claimed.messages[0]->seq, 0, on_body, &body);
        wait_for(&body.answer);
        ck_assert(body.answer.failed);
        struct json_answer listed = { 0 };
        queue_list(NULL, 0, 0, 10, on_listed, &listed);
        wait_well(&listed.answer);
        ck_assert_uint_eq(json_array_size(listed.json), 0);
        json_decref(listed.json);
        queue_sweep(NOW); /* finished at NOW: not before it */
        check_state(done.id, "sent");
        queue_sweep(NOW + 1);
        written();
        check_counts("out", QUEUE_SENT, 0);
        free_claimed(&claimed);
}
END_TEST

START_TEST(given_back_untouched)
{
        struct submission s = plain("out");
        struct submitted done = submit_well(&s);
        struct claimed claimed = claim("out", NOW, 1);

        check_state(done.id, "sending");
        queue_unclaim(claimed.messages[0]->seq);
        free_claimed(&claimed);
        claimed = claim("out", NOW, 1);
        ck_assert_uint_eq(claimed.count, 1);
        ck_assert(!claimed.messages[0]->maybe_sent);
        settle(claimed.messages[0]->seq, QUEUE_QUEUED, 0); /* untouched */
        check_state(done.id, "queued");
        json_t *message = get(done.id);
        ck_assert_int_eq(json_integer_value(json_object_get(message, "attempts")), 0);
        json_decref(message);
        check_counts("out", QUEUE_QUEUED, 1);
        free_claimed(&claimed);
}
END_TEST

START_TEST(bytes_of_a_claim_are_bounded)
{
        struct submission s = plain("out");
        struct claimed claimed = { 0 };

        for (int i = 0; i < 5; i++)
                submit_well(&s);
        struct claimed one = claim("out", NOW, 1);
        size_t each = one.messages[0]->first_len;
        queue_unclaim(one.messages[0]->seq);
        free_claimed(&one);
        queue_claim("out", NOW, 10, 2 * each, NULL, NULL, on_claimed, &claimed);
        wait_well(&claimed.answer);
        ck_assert_uint_eq(claimed.count, 2);
        free_claimed(&claimed);
        claimed.answer.came = false;
        queue_claim("out", NOW, 10, 1, NULL, NULL, on_claimed, &claimed); /* one always */
        wait_well(&claimed.answer);
        ck_assert_uint_eq(claimed.count, 1);
        free_claimed(&claimed);
}
END_TEST

/* ---- changes ---- */

/* How to bring a message into a state, and what each change makes of it (-1: refused). */
static const struct {
        enum queue_state state;
        int after[5]; /* RETRY HOLD RELEASE DELETE(-2: gone) REROUTE */
} transitions[] = {
        { QUEUE_QUEUED, { QUEUE_QUEUED, QUEUE_HELD, -1, -2, QUEUE_QUEUED } },
        { QUEUE_SENDING, { QUEUE_SENDING, -1, -1, -1, -1 } },
        { QUEUE_DEFERRED, { QUEUE_QUEUED, QUEUE_HELD, -1, -2, QUEUE_QUEUED } },
        { QUEUE_HELD, { -1, QUEUE_HELD, QUEUE_QUEUED, -2, QUEUE_HELD } },
        { QUEUE_AMBIGUOUS, { QUEUE_QUEUED, QUEUE_HELD, -1, -2, QUEUE_QUEUED } },
        { QUEUE_FAILED, { QUEUE_QUEUED, -1, -1, -2, QUEUE_QUEUED } },
        { QUEUE_SENT, { -1, -1, -1, -2, -1 } },
};

START_TEST(changes)
{
        for (int what = 0; what < 5; what++) {
                enum queue_state state = transitions[_i].state;
                struct submission s = plain("out");
                s.held = state == QUEUE_HELD;
                struct submitted done = submit_well(&s);
                if (state != QUEUE_QUEUED && state != QUEUE_HELD) {
                        struct claimed claimed = claim("out", NOW, 1);
                        if (state != QUEUE_SENDING)
                                settle(claimed.messages[0]->seq, state, NOW + 1000);
                        free_claimed(&claimed);
                }
                check_state(done.id, queue_state_name(state));
                struct json_answer answer =
                        change((enum queue_change)what, done.id, what == QUEUE_REROUTE ? "second" : NULL);
                int after = transitions[_i].after[what];
                if (after == -1) {
                        ck_assert_int_eq((int)answer.answer.cause.code, CAUSE_STATE);
                        ck_assert_msg(strstr(answer.answer.cause.text, done.id) != NULL, "%s",
                                      answer.answer.cause.text);
                        check_state(done.id, queue_state_name(state));
                } else {
                        ck_assert_msg(!answer.answer.failed, "%s", answer.answer.cause.text);
                        check_text(json_array_get(answer.json, 0), "account",
                                   what == QUEUE_REROUTE ? "second" : "out");
                }
                if (after >= 0) {
                        check_state(done.id, queue_state_name((enum queue_state)after));
                        check_counts(what == QUEUE_REROUTE ? "second" : "out", (enum queue_state)after, 1);
                }
                json_decref(answer.json);
                forget_account("out");
                forget_account("second");
                written();
                for (int left = 0; left < QUEUE_STATES; left++)
                        check_counts(NULL, (enum queue_state)left, 0);
        }
}
END_TEST

START_TEST(all_or_nothing)
{
        struct submission s = plain("out");
        struct submitted a = submit_well(&s), b = submit_well(&s);
        const char *ids[] = { a.id, b.id, "0000000000" };
        struct json_answer answer = { 0 };

        queue_change(QUEUE_HOLD, ids, 3, NULL, 0, on_json, &answer);
        wait_for(&answer.answer);
        ck_assert_int_eq((int)answer.answer.cause.code, CAUSE_NOT_FOUND);
        check_state(a.id, "queued");
        check_counts("out", QUEUE_QUEUED, 2);
        answer = (struct json_answer){ 0 };
        queue_change(QUEUE_HOLD, ids, 2, NULL, 0, on_json, &answer);
        wait_well(&answer.answer);
        ck_assert_uint_eq(json_array_size(answer.json), 2);
        json_decref(answer.json);
        check_counts("out", QUEUE_HELD, 2);
}
END_TEST

static void on_counted(void *ctx, size_t count, const struct cause *cause)
{
        ((struct answer *)ctx)->count = count;
        answered(ctx, cause);
}

START_TEST(flush)
{
        struct submission s = plain("out");
        struct answer answer = { 0 };

        for (int i = 0; i < 3; i++)
                submit_well(&s);
        struct claimed claimed = claim("out", NOW, 3);
        for (int i = 0; i < 3; i++)
                settle(claimed.messages[i]->seq, i == 2 ? QUEUE_AMBIGUOUS : QUEUE_DEFERRED, NOW + 5000);
        free_claimed(&claimed);
        claimed = claim("out", NOW, 3);
        ck_assert_uint_eq(claimed.count, 0);
        queue_due_now("out", on_counted, &answer);
        wait_well(&answer);
        ck_assert_uint_eq(answer.count, 3);
        claimed = claim("out", NOW, 3);
        ck_assert_uint_eq(claimed.count, 3);
        ck_assert_uint_eq(claimed.messages[0]->recipient_count, 1);
        free_claimed(&claimed);
}
END_TEST

static json_t *expire(int64_t clock)
{
        struct json_answer answer = { 0 };

        queue_expire("out", clock, NULL, on_json, &answer);
        wait_well(&answer.answer);
        return answer.json;
}

START_TEST(expiry)
{
        struct submission s = plain("out");
        struct submitted done = submit_well(&s), held;

        s.held = s.in_charge = true;
        held = submit_well(&s);
        json_t *expired = expire(1049);
        ck_assert_uint_eq(json_array_size(expired), 0);
        json_decref(expired);
        expired = expire(1050);
        ck_assert_uint_eq(json_array_size(expired), 1);
        check_text(json_array_get(expired, 0), "id", done.id);
        json_decref(expired);
        json_t *message = get(done.id);
        check_text(message, "state", "failed");
        check_text(message, "cause", "Expired");
        json_decref(message);
        check_state(held.id, "held");
        /* Revived with a full lifetime from the next look on; so is what is released. */
        change_well(QUEUE_RETRY, done.id, NULL);
        change_well(QUEUE_RELEASE, held.id, NULL);
        expired = expire(5000);
        ck_assert_uint_eq(json_array_size(expired), 0);
        json_decref(expired);
        expired = expire(5999);
        ck_assert_uint_eq(json_array_size(expired), 0);
        json_decref(expired);
        expired = expire(6000);
        ck_assert_uint_eq(json_array_size(expired), 2);
        json_decref(expired);
}
END_TEST

/* Whose message waits for somebody who never comes makes room again. */
START_TEST(what_a_user_holds_ages)
{
        struct submission s = plain("out");

        s.held = true;
        s.owner = 1000;
        struct submitted held = submit_well(&s);
        json_t *expired = expire(1050);
        ck_assert_uint_eq(json_array_size(expired), 1);
        json_decref(expired);
        check_state(held.id, "failed");
}
END_TEST

static enum cause_code code_of(struct submission *s, uid_t owner, bool held, bool in_charge)
{
        scoped(scoped_free) char *who = text_of("uid %u", owner);

        s->owner = owner;
        s->submitted_by = who;
        s->held = held;
        s->in_charge = in_charge;
        return submit(s).answer.cause.code;
}

START_TEST(the_queue_is_shared)
{
        struct submission s = plain("out");

        s.max_queue = 32;
        for (int i = 0; i < 8; i++)
                ck_assert_int_eq(code_of(&s, 1000, true, false), CAUSE_NONE);
        ck_assert_int_eq(code_of(&s, 1001, true, false), CAUSE_QUEUE_FULL); /* no more is held */
        for (int i = 8; i < 24; i++)
                ck_assert_int_eq(code_of(&s, 1000, false, false), CAUSE_NONE);
        ck_assert_int_eq(code_of(&s, 1000, false, false), CAUSE_QUEUE_FULL); /* the user's share */
        for (int i = 24; i < 30; i++)
                ck_assert_int_eq(code_of(&s, 1001, false, false), CAUSE_NONE);
        ck_assert_int_eq(code_of(&s, 1001, false, false), CAUSE_QUEUE_FULL); /* all users' */
        ck_assert_int_eq(code_of(&s, 0, true, true), CAUSE_NONE);
        ck_assert_int_eq(code_of(&s, 0, false, true), CAUSE_NONE);
        ck_assert_int_eq(code_of(&s, 0, false, true), CAUSE_QUEUE_FULL);
        s.max_queue = 100;
        s.max_disk = queue_counts(NULL).bytes * 16 / 15; /* the same in bytes */
        ck_assert_int_eq(code_of(&s, 1001, false, false), CAUSE_QUEUE_FULL);
        ck_assert_int_eq(code_of(&s, 0, false, true), CAUSE_NONE);
}
END_TEST

START_TEST(a_key_is_of_the_user_whatever_the_name)
{
        struct submission s = plain("out");

        s.owner = 1000;
        s.key = "k";
        s.submitted_by = "alice (uid 1000)";
        struct submitted first = submit_well(&s);
        s.submitted_by = "uid 1000"; /* the directory is slow today */
        struct submitted again = submit_well(&s);
        ck_assert(again.duplicate);
        ck_assert_str_eq(again.id, first.id);
        s.key = "l";
        first = submit_well(&s);
        s.submitted_by = "alice (uid 1000)";
        again = submit_well(&s);
        ck_assert(again.duplicate);
        s.owner = 100;
        s.submitted_by = "uid 100";
        ck_assert(!submit_well(&s).duplicate);
}
END_TEST

START_TEST(pages)
{
        struct submission s = plain("out"), other = plain("other");
        size_t seen = 0;
        uint64_t after = 0;

        for (int i = 0; i < 7; i++) {
                submit_well(&s);
                submit_well(&other);
        }
        do {
                struct json_answer page = { 0 };
                queue_list(_i ? "out" : NULL, 0, after, 3, on_listed, &page);
                wait_well(&page.answer);
                seen += json_array_size(page.json);
                ck_assert_uint_le(json_array_size(page.json), 3);
                after = page.next;
                json_decref(page.json);
        } while (after);
        ck_assert_uint_eq(seen, _i ? 7 : 14);
        struct json_answer failed = { 0 };
        queue_list("out", 1u << QUEUE_FAILED, 0, 10, on_listed, &failed);
        wait_well(&failed.answer);
        ck_assert_uint_eq(json_array_size(failed.json), 0);
        json_decref(failed.json);
}
END_TEST

/* ---- damage ---- */

static char logged[256];

static void on_logged(int priority, const char *message_id, const char *text)
{
        (void)priority;
        if (same_text(message_id, MSG_QUEUE_DAMAGED))
                (void)snprintf(logged, sizeof logged, "%s", text);
}

static const char *const damages[] = {
        "DELETE FROM body WHERE place >> 20 = 2",
        "UPDATE body SET data = x'00' WHERE place >> 20 = 2",
        "DELETE FROM recipient WHERE seq = 2",
        "DELETE FROM body WHERE place = (2 << 20) + 1",
        "UPDATE body SET data = zeroblob(length(data)) WHERE place = 2 << 20",
        "UPDATE body SET digest = x'00' WHERE place = 2 << 20",
        ("UPDATE recipient SET attempts = 1 WHERE seq = 2;"
         "UPDATE body SET data = zeroblob(length(data)) WHERE place = (2 << 20) + 1"),
};

static int cannot_link(int fd, int at, const char *name)
{
        (void)fd, (void)at, (void)name;
        errno = EPERM;
        return -1;
}

/* In chunks, whatever its size; files are test_body_file's. */
START_TEST(damaged_one_is_set_aside)
{
        struct disk_calls calls = *disk_real_calls();
        struct submission s = plain("out");

        calls.link = cannot_link;
        disk_use(&calls);
        char *large = new_zeroed(1, 600000);

        memset(large, '\n', 600000 - 1);
        journal_capture(on_logged);
        submit_well(&s);
        s.bytes = large;
        s.len = 600000 - 1;
        struct submitted bad = submit_well(&s);
        s = plain("out");
        submit_well(&s);
        with_database(damages[_i]);
        struct claimed claimed = claim("out", NOW, 10);
        ck_assert_uint_eq(claimed.count, 2);
        check_state(bad.id, "failed");
        check_counts("out", QUEUE_FAILED, 1);
        ck_assert_msg(strstr(logged, bad.id) != NULL, "%s", logged);
        journal_capture(NULL);
        disk_use(NULL);
        free_claimed(&claimed);
        free(large);
}
END_TEST

/* ---- crashes ---- */

START_TEST(interrupted_while_sending)
{
        struct submission s = plain("out");
        int pipe_ends[2], status;
        char id[QUEUE_ID_SIZE];

        reclose();
        ck_assert_int_eq(pipe(pipe_ends), 0);
        pid_t child = fork();
        if (child == 0) {
                reopen();
                struct submitted done = submit_well(&s);
                struct claimed claimed = claim("out", NOW, 1);
                (void)!write(pipe_ends[1], done.id, QUEUE_ID_SIZE);
                (void)claimed;
                kill(getpid(), SIGKILL);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(read(pipe_ends[0], id, sizeof id), QUEUE_ID_SIZE);
        reopen();
        json_t *message = get(id);
        check_text(message, "state", "queued");
        check_text(json_array_get(json_object_get(message, "history"), 0), "result",
                   "interrupted by a restart while being sent: it may arrive twice");
        json_decref(message);
        check_counts("out", QUEUE_QUEUED, 1);
        check_counts("out", QUEUE_SENDING, 0);
        struct claimed claimed = claim("out", NOW, 1);
        ck_assert(claimed.messages[0]->maybe_sent);
        free_claimed(&claimed);
        close(pipe_ends[0]);
        close(pipe_ends[1]);
}
END_TEST

static int answers_to = -1;

static void tell_parent(void *ctx, const char *id, bool duplicate, const struct cause *cause)
{
        (void)ctx, (void)duplicate;
        if (!cause)
                (void)!write(answers_to, id, QUEUE_ID_SIZE);
        struct submission s = plain("out");
        queue_submit(&s, tell_parent, NULL);
}

/* Submits as fast as it can until it is killed; each answer goes to the parent at once. */
static void flood(int to)
{
        answers_to = to;
        reopen();
        for (int i = 0; i < 20; i++)
                tell_parent(NULL, "", false, &(struct cause){ .code = CAUSE_INTERNAL });
        loop_run();
        _exit(1);
}

START_TEST(killed_at_any_moment)
{
        char id[QUEUE_ID_SIZE];
        size_t total = 0;
        int status;

        reclose();
        srand(7);
        for (int round = 0; round < 15; round++) {
                int ends[2];
                size_t answers = 0, found = 0;
                ck_assert_int_eq(pipe(ends), 0);
                pid_t child = fork();
                if (child == 0)
                        flood(ends[1]);
                close(ends[1]);
                size_t stop = (size_t)(1 + rand() % 60);
                char(*ids)[QUEUE_ID_SIZE] = new_zeroed(100000, QUEUE_ID_SIZE);
                while (read(ends[0], id, sizeof id) == QUEUE_ID_SIZE && answers < 100000) {
                        memcpy(ids[answers++], id, sizeof id);
                        if (answers == stop)
                                kill(child, SIGKILL); /* what was written before it still comes */
                }
                ck_assert_int_eq(waitpid(child, &status, 0), child);
                close(ends[0]);
                reopen();
                for (size_t i = 0; i < answers; i++) {
                        json_t *message = get(ids[i]);
                        found += message != NULL;
                        json_decref(message);
                }
                ck_assert_uint_eq(found, answers);
                total += answers;
                ck_assert_uint_ge(queue_counts("out").messages[QUEUE_QUEUED], total);
                reclose();
                free(ids);
        }
        reopen();
}
END_TEST

/* ---- a disk that fails ---- */

START_TEST(full_disk_promises_nothing_and_heals)
{
        struct submission s = plain("out");
        struct rlimit before, small;
        struct submitted first = submit_well(&s);
        struct claimed claimed = claim("out", NOW, 1);
        struct answer settled = { 0 };

        signal(SIGXFSZ, SIG_IGN);
        ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
        small = before;
        small.rlim_cur = 1;
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
        struct submitted refused = submit(&s);
        ck_assert_int_eq((int)refused.answer.cause.code, CAUSE_STORAGE);
        ck_assert_ptr_nonnull(store_fault());
        /* That a message was sent is not forgotten: the settlement waits for the disk. */
        struct settled_recipient recipient = { .state = QUEUE_SENT };
        struct settlement settlement = {
                .seq = claimed.messages[0]->seq, .time = NOW, .recipients = &recipient, .recipient_count = 1
        };
        queue_settle(&settlement, answered, &settled);
        kept_add("out", KEPT_NUMBER_SENT, 1);
        refused = submit(&s);
        ck_assert_int_eq((int)refused.answer.cause.code, CAUSE_STORAGE);
        ck_assert(!settled.came);
        check_counts("out", QUEUE_SENDING, 1);
        check_counts("out", QUEUE_QUEUED, 0);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        wait_well(&settled);
        ck_assert_ptr_null(store_fault());
        check_state(first.id, "sent");
        submit_well(&s);
        check_counts("out", QUEUE_QUEUED, 1);
        free_claimed(&claimed);
        reclose();
        reopen();
        ck_assert_int_eq(kept_number("out", KEPT_NUMBER_SENT), 1);
        check_counts("out", QUEUE_SENT, 1);
        check_counts("out", QUEUE_QUEUED, 1);
}
END_TEST

START_TEST(closing_answers_everything)
{
        struct submission s = plain("out");
        struct submitted many[20] = { 0 };

        for (int i = 0; i < 20; i++)
                queue_submit(&s, on_submitted, &many[i]);
        reclose();
        for (int i = 0; i < 20; i++)
                ck_assert(many[i].answer.came && !many[i].answer.failed);
        reopen();
        check_counts("out", QUEUE_QUEUED, 20);
}
END_TEST

/* ---- older versions of the schema ---- */

/* A database as version 1 left it: a message with two recipients, one of which has failed. */
static void make_version_1(void)
{
        static const char rows[] =
                "INSERT INTO message (seq, account, state, priority, due, expires_clock, lifetime, expires, "
                "size, eight_bit,"
                " header_utf8, submitted, sender, message_id, submitted_by)"
                " VALUES (7, 'out', 0, 0, 0, 5000, 1000, 0, 4, 0, 0, 1, 'a@x', '<m@x>', 'old');"
                "INSERT INTO recipient (seq, number, address, state) VALUES (7, 0, 'b@x', 0), (7, 1, 'c@x', "
                "5);"
                "INSERT INTO body (place, data) VALUES (7 << 20, x'0d0a0d0a');"
                "PRAGMA application_id = 0x454d5344; PRAGMA user_version = 1;";
        char path[300];
        sqlite3 *db;

        (void)snprintf(path, sizeof path, "%s/station.db", folder);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, schema_steps[0], NULL, NULL, NULL), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, rows, NULL, NULL, NULL), SQLITE_OK);
        ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* ---- floods ---- */

static struct claimed claim_limited(time_t now, int64_t most)
{
        struct flood_rules rules = {
                .most = most, .from = "own@example.com", .hostname = "h.example", .lifetime = 1000
        };
        struct claimed claimed = { 0 };

        do {
                free_claimed(&claimed);
                claimed = (struct claimed){ 0 };
                queue_claim("out", now, 20, 16 * MIB, NULL, &rules, on_claimed, &claimed);
                wait_well(&claimed.answer);
        } while (!claimed.count && claimed.next_due == now);
        return claimed;
}

static void settle_all(struct claimed *claimed)
{
        for (size_t i = 0; i < claimed->count; i++)
                settle(claimed->messages[i]->seq, QUEUE_SENT, 0);
        free_claimed(claimed);
}

/* The hour's messages go, the others wait for a digest; urgent ones and other recipients do not. */
START_TEST(a_flood_is_gathered)
{
        struct submission submission = plain("out");
        struct submitted flood[10];
        const char *address = "To@Example.com", *other = "other@example.com";

        for (size_t i = 0; i < count_of(flood); i++) {
                submission.recipients = i % 2 ? &address : (const char **)(uintptr_t)one_recipient;
                flood[i] = submit_well(&submission);
        }
        submission.recipients = &other;
        (void)submit_well(&submission);
        submission.recipients = (const char **)(uintptr_t)one_recipient;
        submission.priority = 1;
        (void)submit_well(&submission);
        struct claimed claimed = claim_limited(NOW, 3);
        ck_assert_uint_eq(claimed.count, 5);
        settle_all(&claimed);
        claimed = claim_limited(NOW, 3);
        ck_assert_uint_eq(claimed.count, 0);
        ck_assert_int_eq(claimed.next_due, NOW + 60);
        check_state(flood[3].id, "deferred");
        check_counts("out", QUEUE_DEFERRED, 7);
        claimed = claim_limited(NOW + 60, 3);
        ck_assert_uint_eq(claimed.count, 1);
        const struct queued_message *digest = claimed.messages[0];
        char *text = copy_bytes((const char *)digest->first, digest->first_len);
        ck_assert_uint_eq(digest->size, digest->first_len);
        ck_assert_str_eq(digest->from, "own@example.com");
        ck_assert_str_eq(digest->recipients[0].address, address); /* of the first that waited */
        ck_assert_ptr_nonnull(strstr(text, "Subject: 7 messages of h.example, gathered\r\n"));
        size_t attached = 0;
        for (const char *at = text; (at = strstr(at, "Content-Type: message/rfc822")); at++)
                attached++;
        ck_assert_uint_eq(attached, 7);
        free(text);
        json_t *one = get(flood[9].id);
        check_text(one, "state", "sent");
        scoped(scoped_free) char *reply =
                text_of("gathered into the digest %s (maxPerRecipient)", digest->id);
        check_text(json_array_get(json_object_get(one, "recipients"), 0), "reply", reply);
        json_decref(one);
        check_counts("out", QUEUE_SENT, 12);
        settle_all(&claimed);
        /* the next digest is an hour away, and in the next hour there is room again */
        submission.priority = 0;
        (void)submit_well(&submission);
        claimed = claim_limited(NOW + 70, 3);
        ck_assert_uint_eq(claimed.count, 0);
        ck_assert_int_eq(claimed.next_due, NOW + 60 + 3600);
        (void)submit_well(&submission);
        claimed = claim_limited(NOW + 3601, 3);
        ck_assert_uint_eq(claimed.count, 1);
        settle_all(&claimed);
}
END_TEST

/* A message to several: only who has too many waits. Nothing of it is lost, and each has it once. */
START_TEST(a_flood_to_one_of_several)
{
        static const char *const both[] = { "to@example.com", "other@example.com" };
        struct submission submission = plain("out");
        struct submitted last;

        (void)submit_well(&submission);
        submission.recipients = (const char **)(uintptr_t)both;
        submission.recipient_count = 2;
        last = submit_well(&submission);
        struct claimed claimed = claim_limited(NOW, 1);
        ck_assert_uint_eq(claimed.count, 2);
        ck_assert_uint_eq(claimed.messages[1]->recipient_count, 1);
        ck_assert_str_eq(claimed.messages[1]->recipients[0].address, "other@example.com");
        struct settled_recipient sent = { .index = 1, .state = QUEUE_SENT, .reply = "250", .enhanced = "" };
        struct settlement settlement = { .seq = claimed.messages[1]->seq,
                                         .time = NOW,
                                         .host = "h",
                                         .tls = "",
                                         .result = "sent",
                                         .recipients = &sent,
                                         .recipient_count = 1 };
        struct answer answer = { 0 };
        queue_settle(&settlement, answered, &answer);
        wait_well(&answer);
        settle(claimed.messages[0]->seq, QUEUE_SENT, 0);
        free_claimed(&claimed);
        check_state(last.id, "deferred");
        /* alone, it goes by itself */
        claimed = claim_limited(NOW + 60, 1);
        ck_assert_uint_eq(claimed.count, 1);
        ck_assert_str_eq(claimed.messages[0]->id, last.id);
        ck_assert_uint_eq(claimed.messages[0]->recipient_count, 1);
        ck_assert_str_eq(claimed.messages[0]->recipients[0].address, "to@example.com");
        settle_all(&claimed);
        check_state(last.id, "sent");
}
END_TEST

/* What was tried goes on being tried, and is in no digest. */
START_TEST(a_flood_and_a_retry)
{
        struct submission submission = plain("out");
        struct submitted first = submit_well(&submission);

        struct claimed claimed = claim_limited(NOW, 1);
        settle(claimed.messages[0]->seq, QUEUE_DEFERRED, NOW + 10);
        free_claimed(&claimed);
        for (int i = 0; i < 3; i++)
                (void)submit_well(&submission);
        claimed = claim_limited(NOW + 11, 1);
        ck_assert_uint_eq(claimed.count, 1);
        ck_assert_str_eq(claimed.messages[0]->id, first.id);
        settle_all(&claimed);
        claimed = claim_limited(NOW + 80, 1);
        ck_assert_uint_eq(claimed.count, 1);
        ck_assert_ptr_nonnull(memmem(claimed.messages[0]->first, claimed.messages[0]->first_len,
                                     "Subject: 3 messages", 19));
        settle_all(&claimed);
}
END_TEST

/* One that waits for longer than an hour goes by itself, whoever else has the place of this hour. */
START_TEST(a_digest_is_in_no_digest)
{
        struct submission submission = plain("out");
        const time_t later = NOW + 80 + 3700;

        for (int i = 0; i < 4; i++)
                (void)submit_well(&submission);
        struct claimed claimed = claim_limited(NOW, 1);
        settle_all(&claimed);
        claimed = claim_limited(NOW + 80, 1);
        ck_assert_uint_eq(claimed.count, 1);
        uint64_t digest = claimed.messages[0]->seq;
        settle(digest, QUEUE_DEFERRED, later + 10);
        free_claimed(&claimed);
        (void)submit_well(&submission);
        claimed = claim_limited(later, 1);
        ck_assert_uint_eq(claimed.count, 1);
        settle_all(&claimed);
        for (int i = 0; i < 2; i++)
                (void)submit_well(&submission);
        claimed = claim_limited(later + 10, 1);
        ck_assert_uint_ge(claimed.count, 1);
        ck_assert_uint_eq(claimed.messages[0]->seq, digest);
        settle_all(&claimed);
}
END_TEST

START_TEST(mail_of_version_1_goes_on)
{
        reclose();
        make_version_1();
        reopen();
        struct claimed claimed = claim("out", NOW, 10);

        ck_assert_uint_eq(claimed.count, 1);
        ck_assert_uint_eq(claimed.messages[0]->seq, 7);
        ck_assert_uint_eq(claimed.messages[0]->recipient_count, 1);
        ck_assert_ptr_null(claimed.messages[0]->ret);
        ck_assert_ptr_null(claimed.messages[0]->envelope_id);
        ck_assert_ptr_null(claimed.messages[0]->recipients[0].notify);
        ck_assert_ptr_null(claimed.messages[0]->recipients[0].original);
        free_claimed(&claimed);
        settle(7, QUEUE_SENT, 0);
        struct submission s = plain("out");
        static const char *notify[] = { "NEVER" };
        static const char *originals[] = { "rfc822;o@x" };
        s.notify = notify;
        s.originals = originals;
        s.ret = "FULL";
        s.envelope_id = "e";
        json_t *message = get(submit_well(&s).id);
        ck_assert_str_eq(json_string_value(json_object_get(message, "ret")), "FULL");
        ck_assert_str_eq(json_string_value(json_object_get(message, "envelopeId")), "e");
        json_t *recipient = json_array_get(json_object_get(message, "recipients"), 0);
        ck_assert_str_eq(json_string_value(json_object_get(recipient, "notify")), "NEVER");
        ck_assert_str_eq(json_string_value(json_object_get(recipient, "original")), "rfc822;o@x");
        json_decref(message);
}
END_TEST

int main(void)
{
        TCase *tests = tcase_create("queue");
        tcase_add_checked_fixture(tests, store_up, store_down);
        tcase_add_test(tests, ids_there_and_back);
        tcase_add_test(tests, short_ids);
        tcase_add_test(tests, submitted_message);
        tcase_add_test(tests, expiry_is_shown_by_the_clock_of_the_account);
        tcase_add_test(tests, same_key_same_id);
        tcase_add_test(tests, full_queue);
        tcase_add_test(tests, bad_submissions);
        tcase_add_test(tests, intake_is_bounded_by_what_is_read);
        tcase_add_test(tests, given_up_while_it_is_read);
        tcase_add_test(tests, given_up_before_it_is_read);
        tcase_add_test(tests, small_ones_need_no_thread);
        tcase_add_loop_test(tests, bodies_come_back, 0, (int)count_of(sizes));
        tcase_add_test(tests, claims_urgent_first_then_oldest);
        tcase_add_test(tests, outcomes_by_recipient);
        tcase_add_test(tests, sent_message_loses_its_body);
        tcase_add_test(tests, given_back_untouched);
        tcase_add_test(tests, bytes_of_a_claim_are_bounded);
        tcase_add_loop_test(tests, changes, 0, (int)count_of(transitions));
        tcase_add_test(tests, all_or_nothing);
        tcase_add_test(tests, flush);
        tcase_add_test(tests, expiry);
        tcase_add_test(tests, what_a_user_holds_ages);
        tcase_add_test(tests, the_queue_is_shared);
        tcase_add_test(tests, a_key_is_of_the_user_whatever_the_name);
        tcase_add_loop_test(tests, pages, 0, 2);
        tcase_add_loop_test(tests, damaged_one_is_set_aside, 0, (int)count_of(damages));
        tcase_add_test(tests, interrupted_while_sending);
        tcase_add_test(tests, killed_at_any_moment);
        tcase_add_test(tests, full_disk_promises_nothing_and_heals);
        tcase_add_test(tests, closing_answers_everything);
        tcase_add_test(tests, a_flood_is_gathered);
        tcase_add_test(tests, a_flood_to_one_of_several);
        tcase_add_test(tests, a_flood_and_a_retry);
        tcase_add_test(tests, a_digest_is_in_no_digest);
        tcase_add_test(tests, mail_of_version_1_goes_on);
        Suite *suite = suite_create("queue_table");
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
