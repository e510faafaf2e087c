namespace KvStore.Raft.Tests.Harness;

/// <summary>Replica 1 of a group whose other members are the test: it makes up their messages and reads what they would get.</summary>
internal sealed class LoneReplica
{
    private readonly TestCluster _cluster = new();
    private readonly List<Message> _sent = [];

    public LoneReplica(int voters, ulong[]? logTerms = null, HardState hardState = default, Func<RaftConfig, RaftConfig>? adjust = null)
    {
        _cluster.OnSent = (message, _) => _sent.Add(message);
        Replica = _cluster.Add(1, TestCluster.VotersOnly(voters), adjust, disk =>
        {
            disk.Write(Log(logTerms ?? []));
            disk.HardState = hardState;
        });
        Replica.TakeAllReady();
    }

    public static ReplicaId Me { get; } = new(1);

    public TestReplica Replica { get; }

    public RaftNode Node => Replica.Node;

    public static ReplicaId Peer(ulong id) => new(id);

    /// <summary>Entries 1.. with these terms.</summary>
    public static Entry[] Log(params ulong[] terms) => [.. terms.Select((term, i) => NewEntry((ulong)i + 1, term))];

    public static Entry NewEntry(ulong index, ulong term) => new(term, index, EntryKind.Command, 1, index, 1, ReadOnlyMemory<byte>.Empty);

    public void Step(Message message) => Replica.Receive(message);

    public void Tick(int times)
    {
        for (int i = 0; i < times; i++)
        {
            Replica.Do(node => node.Tick());
        }
    }

    /// <summary>Everything of this kind sent since the last call.</summary>
    public IReadOnlyList<T> Sent<T>()
        where T : Message
    {
        List<T> result = [.. _sent.OfType<T>()];
        _sent.Clear();
        return result;
    }

    /// <summary>Makes it leader of the next term with the votes of 2, 3, …; nobody has acknowledged its no-op yet.</summary>
    public void Lead(int votes)
    {
        Replica.Do(node => node.Campaign());
        for (ulong voter = 2; voter <= (ulong)votes + 1; voter++)
        {
            Step(new PreVoteGranted(Peer(voter), Me, Node.Term + 1));
        }

        for (ulong voter = 2; voter <= (ulong)votes + 1; voter++)
        {
            Step(new VoteGranted(Peer(voter), Me, Node.Term));
        }

        Assert.Equal(Role.Leader, Node.Role);
        _sent.Clear();
    }
}
