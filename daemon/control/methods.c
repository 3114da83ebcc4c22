/* SPDX-License-Identifier: MIT */
/* The table of socket methods; a unit test holds it against the .varlink files. */
#include "daemon/control/methods.h"

#define SERVICE "io.emailsec.EmailService."
#define TRUST   "io.emailsec.Trust."
#define VARLINK "org.varlink.service."

/* A call without a message, certificates or many properties in it. */
#define SMALL LIMIT_CALL, LIMIT_CALL_VALUES

const struct method methods[] = {
        { SERVICE "GetStatus", PERMIT_READ, SMALL, METHOD_ENDING, on_get_status },
        { SERVICE "ListAccounts", PERMIT_READ, SMALL, METHOD_PLAIN, on_list_accounts },
        { SERVICE "GetAccount", PERMIT_READ, SMALL, 0, on_get_account },
        { SERVICE "AddAccount", PERMIT_ADMIN, 512 * KIB, LIMIT_CALL_VALUES, METHOD_CHANGES, on_add_account },
        { SERVICE "SetAccount", PERMIT_ADMIN, 512 * KIB, LIMIT_CALL_VALUES, METHOD_CHANGES, on_set_account },
        { SERVICE "DeleteAccount", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_delete_account },
        { SERVICE "SetPassword", PERMIT_ADMIN, 512 * KIB, LIMIT_CALL_VALUES, METHOD_CHANGES, on_set_password },
        { SERVICE "Poll", PERMIT_ADMIN, SMALL, METHOD_WAITS, on_poll },
        { SERVICE "TestAccount", PERMIT_ADMIN, SMALL, METHOD_MORE | METHOD_WAITS, on_test_account },
        { SERVICE "ListFolders", PERMIT_ADMIN, SMALL, METHOD_WAITS, on_list_folders },
        { SERVICE "AuthorizeAccount", PERMIT_ADMIN, SMALL, METHOD_MORE | METHOD_WAITS | METHOD_CHANGES, on_authorize_account },
        { SERVICE "SendHeartbeat", PERMIT_ADMIN, SMALL, METHOD_MORE | METHOD_WAITS, on_send_heartbeat },
        { SERVICE "Probe", PERMIT_ADMIN, SMALL, METHOD_MORE | METHOD_WAITS, on_probe },
        { SERVICE "Apply", PERMIT_ADMIN, LIMIT_FRAME, 2000000, METHOD_CHANGES, on_apply },
        { SERVICE "Audit", PERMIT_READ, SMALL, METHOD_PLAIN, on_audit },
        { SERVICE "Submit", PERMIT_SUBMIT, 4 * MIB, LIMIT_CALL_VALUES, 0, on_submit },
        { SERVICE "ListQueue", PERMIT_READ, SMALL, METHOD_ENDING, on_list_queue },
        { SERVICE "GetMessage", PERMIT_READ, SMALL, METHOD_ENDING, on_get_message },
        { SERVICE "WaitMessage", PERMIT_SUBMIT, SMALL, METHOD_WAITS, on_wait_message },
        { SERVICE "RetryMessages", PERMIT_ADMIN, MIB, 65536, METHOD_CHANGES, on_retry_messages },
        { SERVICE "HoldMessages", PERMIT_ADMIN, MIB, 65536, METHOD_CHANGES, on_hold_messages },
        { SERVICE "ReleaseMessages", PERMIT_ADMIN, MIB, 65536, METHOD_CHANGES, on_release_messages },
        { SERVICE "DeleteMessages", PERMIT_ADMIN, MIB, 65536, METHOD_CHANGES, on_delete_messages },
        { SERVICE "RerouteMessages", PERMIT_ADMIN, MIB, 65536, METHOD_CHANGES, on_reroute_messages },
        { SERVICE "FlushQueue", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_flush_queue },
        { SERVICE "ListInbox", PERMIT_READ, SMALL, 0, on_list_inbox },
        { SERVICE "OpenInboxMessage", PERMIT_READ, SMALL, 0, on_open_inbox_message },
        { SERVICE "DeleteInboxMessages", PERMIT_ADMIN, MIB, 65536, METHOD_CHANGES, on_delete_inbox_messages },
        { SERVICE "ListMissing", PERMIT_READ, SMALL, 0, on_list_missing },
        { SERVICE "ForgetMissing", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_forget_missing },
        { SERVICE "Monitor", PERMIT_READ, SMALL, METHOD_MORE | METHOD_WAITS, on_monitor },
        { SERVICE "Acknowledge", PERMIT_READ, SMALL, 0, on_acknowledge },
        { SERVICE "ListSubscribers", PERMIT_READ, SMALL, METHOD_PLAIN, on_list_subscribers },
        { SERVICE "ForgetSubscriber", PERMIT_READ, SMALL, METHOD_CHANGES, on_forget_subscriber },
        { SERVICE "GetMetrics", PERMIT_READ, SMALL, METHOD_PLAIN, on_get_metrics },
        { SERVICE "Backup", PERMIT_ADMIN, SMALL, METHOD_WAITS | METHOD_CHANGES, on_backup },
        { SERVICE "Reload", PERMIT_ADMIN, SMALL, METHOD_PLAIN | METHOD_CHANGES, on_reload },
        { TRUST "ListAllowedHosts", PERMIT_READ, SMALL, 0, on_list_allowed_hosts },
        { TRUST "GetAllowedHost", PERMIT_READ, SMALL, 0, on_get_allowed_host },
        { TRUST "Approve", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_approve },
        { TRUST "Reject", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_reject },
        { TRUST "Unapprove", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_unapprove },
        { TRUST "DeleteAllowedHost", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_delete_allowed_host },
        { TRUST "Prune", PERMIT_ADMIN, SMALL, METHOD_PLAIN | METHOD_CHANGES, on_prune },
        { TRUST "ListAnchors", PERMIT_READ, SMALL, 0, on_list_anchors },
        { TRUST "GetAnchor", PERMIT_READ, SMALL, 0, on_get_anchor },
        { TRUST "ImportAnchors", PERMIT_ADMIN, 6 * MIB, LIMIT_CALL_VALUES, METHOD_CHANGES, on_import_anchors },
        { TRUST "DeleteAnchor", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_delete_anchor },
        { TRUST "ListServerCertificates", PERMIT_READ, SMALL, METHOD_PLAIN, on_list_server_certificates },
        { TRUST "ListKeys", PERMIT_READ, SMALL, METHOD_PLAIN, on_list_keys },
        { TRUST "ImportKey", PERMIT_ADMIN, MIB, LIMIT_CALL_VALUES, METHOD_CHANGES, on_import_key },
        { TRUST "DeleteKey", PERMIT_ADMIN, SMALL, METHOD_CHANGES, on_delete_key },
        { VARLINK "GetInfo", PERMIT_NONE, SMALL, METHOD_ENDING | METHOD_PLAIN, on_get_info },
        { VARLINK "GetInterfaceDescription", PERMIT_NONE, SMALL, METHOD_ENDING, on_get_interface_description },
};
const size_t method_count = count_of(methods);

static int (*reload_settings)(json_t *warnings, struct cause *cause);

const struct method *method_named(const char *name)
{
        for (size_t i = 0; i < method_count; i++)
                if (strcmp(methods[i].name, name) == 0)
                        return &methods[i];
        return NULL;
}

size_t method_size(const struct method *method)
{
        return method ? method->size : LIMIT_CALL;
}

size_t method_values(const struct method *method)
{
        return method ? method->values : LIMIT_CALL_VALUES;
}

bool interface_known(const char *method_name)
{
        static const char *const prefixes[] = { SERVICE, TRUST, VARLINK };

        for (size_t i = 0; i < count_of(prefixes); i++)
                if (strncmp(method_name, prefixes[i], strlen(prefixes[i])) == 0)
                        return true;
        return false;
}

void methods_on_reload(int (*reload)(json_t *warnings, struct cause *cause))
{
        reload_settings = reload;
}

int methods_reload(json_t *warnings, struct cause *cause)
{
        return reload_settings ? reload_settings(warnings, cause) : 0;
}
