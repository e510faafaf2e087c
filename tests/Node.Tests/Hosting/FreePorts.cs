using System.Net;
using System.Net.Sockets;

namespace KvStore.Node.Tests.Hosting;

/// <summary>
/// Ports for nodes that have to know each other's before they start. They lie below those that the system gives to whoever dials or asks for
/// any port, so between this choice and the start of the node only another test could take one; drawn at random, that is unlikely enough.
/// </summary>
internal static class FreePorts
{
    private const int First = 12_000;
    private const int End = 32_000;

    private static readonly HashSet<int> Given = [];

    public static int[] Take(int count) => [.. Enumerable.Range(0, count).Select(_ => Take())];

    public static int Take()
    {
        while (true)
        {
            int port = Random.Shared.Next(First, End);
            lock (Given)
            {
                if (!Given.Add(port))
                {
                    continue;
                }
            }

            using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                probe.Bind(new IPEndPoint(IPAddress.Loopback, port));
                return port;
            }
            catch (SocketException)
            {
                // somebody listens there
            }
        }
    }
}
