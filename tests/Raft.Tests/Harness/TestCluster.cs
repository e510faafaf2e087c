namespace KvStore.Raft.Tests.Harness;

/// <summary>Replicas of one group and the messages between them, in the order sent. Nothing moves unless told to.</summary>
internal sealed class TestCluster
{
    private readonly SortedDictionary<ReplicaId, TestReplica> _replicas = [];
    private readonly HashSet<(ReplicaId From, ReplicaId To)> _cut = [];

    public IEnumerable<TestReplica> Replicas => _replicas.Values;

    /// <summary>Sent and not delivered.</summary>
    public List<Message> Network { get; } = [];

    /// <summary>Told about every Ready taken and every message sent (true: it is lost). The scenario runner writes them down.</summary>
    public Action<TestReplica, Ready> OnReady { get; set; } = (_, _) => { };

    public Action<Message, bool> OnSent { get; set; } = (_, _) => { };

    /// <summary>Called when a replica has done all it can do for now.</summary>
    public Action<TestReplica> OnStepped { get; set; } = _ => { };

    /// <summary>Called with every batch a replica applies.</summary>
    public Action<TestReplica, IReadOnlyList<Entry>> OnApplied { get; set; } = (_, _) => { };

    /// <summary>Called with every batch that has become durable.</summary>
    public Action<TestReplica, IReadOnlyList<Entry>> OnWritten { get; set; } = (_, _) => { };

    public TestReplica this[ulong id] => _replicas[new ReplicaId(id)];

    public static SnapshotMetadata StartMark(ConfState configuration) => new(0, 0, 0, configuration);

    public static ConfState VotersOnly(int count) => ConfState.Of(Enumerable.Range(1, count).Select(id => new ReplicaId((ulong)id)));

    /// <summary>A cluster of voters 1..count with empty logs.</summary>
    public static TestCluster Of(int count, Func<RaftConfig, RaftConfig>? adjust = null)
    {
        var cluster = new TestCluster();
        for (ulong id = 1; id <= (ulong)count; id++)
        {
            cluster.Add(id, VotersOnly(count), adjust);
        }

        return cluster;
    }

    public TestReplica Add(
        ulong id, ConfState configuration, Func<RaftConfig, RaftConfig>? adjust = null, Action<MemoryLog>? prepare = null)
    {
        var config = new RaftConfig { Id = new ReplicaId(id), Seed = id, ElectionTicks = 10 };
        var disk = new MemoryLog(StartMark(configuration));
        prepare?.Invoke(disk);
        var replica = new TestReplica(this, adjust?.Invoke(config) ?? config, disk);
        _replicas[replica.Id] = replica;
        return replica;
    }

    public void Send(Message message)
    {
        bool lost = _cut.Contains((message.From, message.To)) || !_replicas.TryGetValue(message.To, out TestReplica? to) || !to.IsUp;
        OnSent(message, lost);
        if (!lost)
        {
            Network.Add(message);
        }
    }

    public void Cut(ulong from, ulong to) => _cut.Add((new ReplicaId(from), new ReplicaId(to)));

    public void Isolate(ulong id)
    {
        foreach (TestReplica other in Replicas)
        {
            Cut(id, other.Id.Value);
            Cut(other.Id.Value, id);
        }
    }

    public void Heal() => _cut.Clear();

    /// <summary>Delivers the oldest message that may pass. False: there is none.</summary>
    public bool DeliverOne(Predicate<Message>? which = null)
    {
        int index = which is null ? (Network.Count > 0 ? 0 : -1) : Network.FindIndex(which);
        if (index < 0)
        {
            return false;
        }

        Message message = Network[index];
        Network.RemoveAt(index);
        _replicas[message.To].Receive(message);
        return true;
    }

    /// <summary>Delivers until nothing moves. Slow disks stay slow.</summary>
    public void Run(Predicate<Message>? which = null)
    {
        while (DeliverOne(which))
        {
            Assert.True(Network.Count < 100_000, "messages multiply without end");
        }
    }

    /// <summary>Makes a replica leader, as far as the others let it.</summary>
    public TestReplica Elect(ulong id)
    {
        // The first campaign may only teach the candidate the others' term.
        for (int attempt = 0; attempt < 3 && this[id].Node.Role != Role.Leader; attempt++)
        {
            foreach (TestReplica follower in Replicas)
            {
                // So that nobody is loyal to a leader that has just died.
                follower.Do(node => node.ForgetLeader(campaignAfterTicks: 20));
            }

            this[id].Do(node => node.Campaign());
            Run();
        }

        Assert.Equal(Role.Leader, this[id].Node.Role);
        return this[id];
    }
}
