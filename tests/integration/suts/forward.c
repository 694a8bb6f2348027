/* Forwards the service's segments by itself: the smallest compiled program that can sit on the path.
 *
 * A packet socket sees every frame before the kernel's rules do (those drop the flow, see forward.yaml); what came in
 * goes out through a raw socket with one hop less. The kernel's routing table says where to. */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define FIRST_PORT 8080
#define LAST_PORT 8083

static int ours(unsigned port)
{
	return port >= FIRST_PORT && port <= LAST_PORT;
}

int main(int argc, char **argv)
{
	static unsigned char packet[65536];
	int one = 1, room = 4 << 20;
	int in, out;

	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		puts("forward 1.0");
		return 0;
	}
	in = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
	out = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (in < 0 || out < 0 || setsockopt(out, IPPROTO_IP, IP_HDRINCL, &one, sizeof one)) {
		perror("forward");
		return 2;
	}
	setsockopt(in, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct sockaddr_ll from;
		socklen_t size = sizeof from;
		ssize_t length = recvfrom(in, packet, sizeof packet, 0, (struct sockaddr *)&from, &size);
		struct iphdr *ip = (struct iphdr *)packet;
		struct tcphdr *tcp;
		struct sockaddr_in to = {.sin_family = AF_INET};

		if (length < 0 && errno != EINTR) {
			perror("forward: receive");
			return 1;
		}
		if (length < (ssize_t)(sizeof *ip + sizeof *tcp) || from.sll_pkttype != PACKET_HOST)
			continue;
		tcp = (struct tcphdr *)(packet + 4 * ip->ihl);
		if (ip->protocol != IPPROTO_TCP || ip->ttl < 2 || (!ours(ntohs(tcp->dest)) && !ours(ntohs(tcp->source))))
			continue;
		ip->ttl--;
		to.sin_addr.s_addr = ip->daddr;
		if (sendto(out, packet, ntohs(ip->tot_len), 0, (struct sockaddr *)&to, sizeof to) < 0)
			perror("forward: send");
	}
}
