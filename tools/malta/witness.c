// SPDX-License-Identifier: Apache-2.0
/* Writes every event of an ended connection to standard output as the kernel sent it, after its length (32 bits, little-endian).
 * Ends with an error where one was lost: its word would be worth nothing. It shares no line with the agent. */
#include <endian.h>
#include <linux/netfilter/nfnetlink_compat.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	static char room[65536];
	int size = 64 << 20, events = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	struct sockaddr_nl own = {.nl_family = AF_NETLINK, .nl_groups = NF_NETLINK_CONNTRACK_DESTROY};

	if (events < 0 || setsockopt(events, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) || bind(events, (struct sockaddr *)&own, sizeof own)) {
		perror("witness");
		return 1;
	}
	for (;;) {
		ssize_t length = recv(events, room, sizeof room, 0);
		uint32_t head = htole32((uint32_t)length);

		if (length < 0 || write(1, &head, 4) != 4 || write(1, room, (size_t)length) != length) {
			perror("witness");
			return 1;
		}
	}
}
