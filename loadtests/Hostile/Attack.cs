namespace KvStore.LoadTests.Hostile;

/// <summary>Something a client may do to a node, and does it for as long as it is let.</summary>
/// <param name="Name">On the command line.</param>
/// <param name="Summary">What it does.</param>
/// <param name="TakesNodeDown">The last node is killed meanwhile.</param>
internal sealed record Attack(string Name, string Summary, bool TakesNodeDown = false)
{
    public static readonly IReadOnlyList<Attack> All =
    [
        new("idle-binary", "8,300 connections to the binary port that say nothing"),
        new("idle-greeted", "8,300 connections to the binary port that say hello and ask nothing"),
        new("idle-rest", "8,300 connections to the REST port that ask nothing"),
        new("slow-bodies", "2,000 uploads of 1 MiB that send half of it at once and then 300 bytes a second"),
        new("unfinished-frames", "200 binary connections whose frame of 4 MiB lacks its last byte"),
        new("silent-peers", "300 connections to the peer port that say nothing"),
        new("ack-all", "17,408 writes under way that wait for all replicas, one of which is down", TakesNodeDown: true),
    ];
}
