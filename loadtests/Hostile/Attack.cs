namespace KvStore.LoadTests.Hostile;

/// <summary>Something a client may do to a node, and does it for as long as it is let.</summary>
/// <param name="Name">On the command line.</param>
/// <param name="Summary">What it does.</param>
/// <param name="Parts">Of how many connections, or writes, it is made.</param>
/// <param name="TakesNodeDown">The last node is killed meanwhile.</param>
internal sealed record Attack(string Name, string Summary, int Parts, bool TakesNodeDown = false)
{
    public static readonly IReadOnlyList<Attack> All =
    [
        new("idle-binary", "8,300 connections to the binary port that say nothing", 8300),
        new("idle-greeted", "8,300 connections to the binary port that say hello and ask nothing", 8300),
        new("idle-rest", "8,300 connections to the REST port that ask nothing", 8300),
        new("slow-bodies", "2,000 uploads of 1 MiB that send half of it at once and then 300 bytes a second", 2000),
        new("unfinished-frames", "200 binary connections whose frame of 4 MiB lacks its last byte", 200),
        new("silent-peers", "300 connections to the peer port that say nothing", 300),
        new("ack-all", "17,408 writes under way that wait for all replicas, one of which is down", 17 * 1024, TakesNodeDown: true),
    ];
}
