/* SPDX-License-Identifier: MIT */
/* Who is at a call, for the trail; see audit.h. */
#include "daemon/control/audit.h"

#include "daemon/control/client_parts.h"
#include "daemon/control/methods.h"

#include <stdio.h>

const struct actor *call_doer(const struct call *call)
{
        return &call->actor;
}

const char *call_actor(const struct call *call)
{
        return call->actor.who;
}

void audit(struct call *call, const struct trail *trail)
{
        call->audited = true;
        audit_trail_record(&call->actor, trail);
}

void audit_nothing(struct call *call)
{
        call->audited = true;
}

void audit_answered(struct call *call)
{
        if (!(call->method->flags & METHOD_CHANGES) || call->audited)
                return;
        scoped(scoped_free) char *object = text_of("method %s", call->method->name);
        audit(call, &(struct trail){ .action = TRAIL_OTHER, .object = object });
}
