/* SPDX-License-Identifier: MIT */
/* An account for tests, and its falling ill. */
#pragma once

#include "daemon/accounts/account.h"

#include <check.h>

static inline struct account *make(const char *name, enum account_kind kind, bool enabled)
{
        struct property_values values;

        properties_defaults(&values, kind);
        prop_put_text(&values, PROP_NAME, name);
        prop_put_text(&values, PROP_HOSTNAME, "mail.example.net");
        values.of[PROP_ENABLED].number = enabled;
        struct account *account = account_new(&values);
        ck_assert_ptr_null(values.of[PROP_NAME].text); /* taken over */
        properties_done(&values);
        return account;
}

static inline void fall_ill(struct account *account, enum cause_code code, const char *challenge_id)
{
        struct cause cause;

        cause_set(&cause, code, "words");
        account_report_failure(account, &cause, challenge_id);
}
