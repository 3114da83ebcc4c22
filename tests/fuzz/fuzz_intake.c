/* SPDX-License-Identifier: MIT */
/* Submitted messages: the same result whatever the portions; every line legal, every line end CRLF. */
#include "daemon/local_names.h"
#include "daemon/loop.h"
#include "daemon/outgoing/sender_policy.h"
#include "daemon/store/intake.h"
#include "fuzz.h"

/* What local names stand for: one address. */
static struct local_names *names(void)
{
        static struct local_names *held;
        struct settings settings = { .hostname = (char *)(uintptr_t)"h.example",
                                     .local_recipients = (char *)(uintptr_t)"ops@b.example" };

        if (!held) {
                fuzz_must(loop_open(NULL) == 0);
                local_names_open(&settings);
                held = local_names_hold();
        }
        return held;
}

static int take_in(const uint8_t *data, size_t size, size_t portion, struct buf *out,
                   struct intake_facts *facts)
{
        struct intake_rules rules = {
                .hostname = "h.example",
                .from = "a@h.example",
                .reply_to = "r@h.example",
                .id = "id",
                .now = 1742727600,
                .max_size = MIB,
                .names = names(),
        };
        struct intake *intake = intake_new(&rules);
        struct cause cause = { 0 };
        int result = 0;

        for (size_t at = 0; at < size && result == 0; at += portion)
                result = intake_feed(intake, data + at, size - at < portion ? size - at : portion, out,
                                     &cause);
        if (result == 0)
                result = intake_end(intake, out, &cause);
        fuzz_must((result < 0) == (cause.code != CAUSE_NONE));
        *facts = *intake_facts(intake);
        fuzz_must(result < 0 || facts->size == out->len);
        intake_free(intake);
        return result;
}

static void look_at_lines(const struct buf *out)
{
        const char *at = (const char *)buf_bytes(out), *end = at + out->len;

        for (const char *lf; at < end; at = lf + 1) {
                lf = memchr(at, '\n', (size_t)(end - at));
                fuzz_must(lf && lf > at && lf[-1] == '\r' && lf - at <= LIMIT_SMTP_LINE + 1);
                fuzz_must(!memchr(at, '\r', (size_t)(lf - 1 - at)) && !memchr(at, '\0', (size_t)(lf - at)));
        }
}

/* The same message under the account's own sender: legal lines, and its own the second time. */
static void change_sender(const struct buf *message)
{
        struct sender_policy policy, again;
        struct cause cause = { 0 };
        struct buf made = BUF_WITH_MAX(4 * MIB);

        if (sender_policy_apply((const char *)buf_bytes(message), message->len, "own@h.example", &policy,
                                &cause) == 0 &&
            policy.header.len) {
                fuzz_must(policy.header_len <= message->len);
                fuzz_must(buf_append(&made, buf_bytes(&policy.header), policy.header.len) == 0 &&
                          buf_append(&made, buf_bytes(message) + policy.header_len,
                                     message->len - policy.header_len) == 0);
                look_at_lines(&made);
                fuzz_must(sender_policy_apply((const char *)buf_bytes(&made), made.len, "own@h.example",
                                              &again, &cause) == 0 &&
                          !again.header.len);
                sender_policy_done(&again);
        }
        sender_policy_done(&policy);
        buf_free(&made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const size_t portions[] = { SIZE_MAX / 2, 1, 7 };
        struct buf first = BUF_WITH_MAX(2 * MIB);
        struct intake_facts facts, other_facts;
        int result = take_in(data, size, portions[0], &first, &facts);

        if (result == 0) {
                look_at_lines(&first);
                change_sender(&first);
        }
        for (size_t i = 1; i < count_of(portions); i++) {
                struct buf other = BUF_WITH_MAX(2 * MIB);
                fuzz_must(take_in(data, size, portions[i], &other, &other_facts) == result);
                fuzz_must(result < 0 ||
                          (fuzz_same(&first, &other) && facts.eight_bit == other_facts.eight_bit &&
                           facts.header_utf8 == other_facts.header_utf8));
                buf_free(&other);
        }
        buf_free(&first);
        return 0;
}
