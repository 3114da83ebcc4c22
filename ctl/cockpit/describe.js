/* SPDX-License-Identifier: MIT */
/* What the daemon says of its properties, secrets and usual ports: {groups, outgoing, incoming, secrets, ports}. */
import { service } from "./varlink.js";

let described = null;

/* Asked for once. */
export function describe() {
    if (!described)
        described = service("DescribeProperties", {}).catch(error => {
            described = null;
            throw error;
        });
    return described;
}
