using System.Text;
using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Replication;

namespace KvStore.Simulation;

/// <summary>
/// What is foretold of a read, by the words of the replica it is sent to, and what the store then does with it. Five nodes, so that two
/// have no replica of a group; writes, nodes that are cut off and nodes that are killed make replicas old, behind and without a leader.
/// Between the question and the read no time passes and nothing arrives: whatever differs is a difference of rules.
/// </summary>
public sealed class Forecasts
{
    private const int Groups = 4;
    private const int ReadsPerStep = 8;
    private const int MostTurns = 10;
    private const long StepMicros = 1_000;
    private const int KeyCount = 64;

    private readonly SimulatedCluster _cluster;
    private readonly SimulatedRandom _random;
    private readonly Func<KvRequest, ReadStanding, ReadStep> _decide;
    private readonly List<PeerMessage> _messages = [];
    private NodeId _asked;
    private GroupId _group;
    private bool _sawQuestion;
    private bool _sawPassedOn;

    private Forecasts(ulong seed, Func<KvRequest, ReadStanding, ReadStep> decide)
    {
        _decide = decide;
        _cluster = new SimulatedCluster(new ClusterOptions { Seed = seed, Nodes = 5, Groups = Groups, VirtualNodes = 4 * Groups });
        _random = _cluster.Random.Fork();
        _cluster.Network.Sent = Look;
        _cluster.Network.PassedOn = (from, _) => _sawPassedOn |= from == _asked;
    }

    private long Pauses { get; set; }

    private Dictionary<ReadStep, long> Counts { get; } = Enum.GetValues<ReadStep>().ToDictionary(step => step, _ => 0L);

    /// <param name="seed">Of everything.</param>
    /// <param name="reads">Forecasts to compare.</param>
    /// <param name="decide">The rule; another one in a control.</param>
    /// <returns>How often each step was foretold and taken.</returns>
    /// <exception cref="SafetyViolationException">forecast-differs.</exception>
    public static IReadOnlyDictionary<ReadStep, long> Run(ulong seed, long reads, Func<KvRequest, ReadStanding, ReadStep>? decide = null)
    {
        var forecasts = new Forecasts(seed, decide ?? ((read, standing) => ReadRule.Decide(read, standing)));
        forecasts.Run(reads);
        return forecasts.Counts;
    }

    private void Run(long reads)
    {
        _cluster.StartAll();
        if (!_cluster.RunUntilReady())
        {
            throw new SafetyViolationException("liveness", "the cluster did not elect its first leaders");
        }

        WriteForEver();
        DisturbForEver();
        for (long compared = 0; compared < reads; compared = Counts.Values.Sum())
        {
            _cluster.Scheduler.RunFor(StepMicros);
            for (int i = 0; i < ReadsPerStep; i++)
            {
                Compare();
            }
        }

        if (Pauses * 10 > Counts[ReadStep.Forward])
        {
            throw new SafetyViolationException("forecast-differs", $"{Pauses} reads waited and {Counts[ReadStep.Forward]} were passed on");
        }
    }

    private void Compare()
    {
        SimulatedNode node = _cluster.Nodes[_random.Below(_cluster.Nodes.Count)];
        if (node.Store is not { } store)
        {
            return;
        }

        KvRequest read = Draw();
        _group = _cluster.Routing.GroupOf(_cluster.Routing.VirtualNodeOf(read.Key.Span));
        _asked = node.Id;
        ShardLoop loop = store.LoopOf(_group);
        Turn(loop);

        ReadStep foretold = _decide(read, StandingAt(store, read));
        KvReply? reply = null;
        (_sawQuestion, _sawPassedOn) = (false, false);
        store.Submit(read, new ReplySink(told => reply = told));
        Turn(loop);
        ReadStep taken = reply switch
        {
            { Code: ErrorCode.None or ErrorCode.KeyNotFound } => ReadStep.Serve,
            not null => ReadStep.Fail,
            null when _sawPassedOn => ReadStep.Forward,
            null when _sawQuestion => ReadStep.Ask,
            null => ReadStep.Wait,
        };
        _asked = NodeId.None;
        if ((foretold, taken) == (ReadStep.Forward, ReadStep.Wait))
        {
            // A node without a replica that has asked them all, and found no leader, makes a pause before it asks again.
            Pauses++;
            return;
        }

        if (foretold != taken)
        {
            throw new SafetyViolationException(
                "forecast-differs",
                $"n{node.Id}, group {_group}, {read.Read}, session {read.Session}, hops {read.HopsLeft}: foretold {foretold}, taken {taken} ({reply?.Code})");
        }

        Counts[taken]++;
    }

    /// <summary>As an explanation learns it: by asking the replica, and its node whom it follows.</summary>
    private ReadStanding StandingAt(StoreNode store, KvRequest read)
    {
        KvReply? told = null;
        store.Submit(ReadRule.Question(read), new ReplySink(reply => told = reply));
        Replica? own = store.LocalReplica(_group);
        return own is null ? ReadStanding.Of(null, false) : ReadStanding.Of(told, leaderIsKnown: !own.View.Leader.IsNone);
    }

    private KvRequest Draw()
    {
        ReadTerms terms = new()
        {
            Level = (ReadLevel)_random.Below(4),
            OnUnmet = (OnUnmet)_random.Below(3),
        };
        bool byAge = _random.Chance(0.7);
        terms = terms.Level != ReadLevel.Bounded ? terms : terms with
        {
            MaxStalenessMs = byAge ? 1 << (3 + _random.Below(10)) : 0,
            MaxLag = !byAge || _random.Chance(0.3) ? (ulong)_random.Below(20) : null,
        };
        byte[] key = Key(_random.Below(KeyCount));
        return new KvRequest
        {
            Operation = new Get(key),
            Read = terms,
            Session = terms.Level == ReadLevel.Session || _random.Chance(0.1) ? Session(key) : default,
            HopsLeft = (byte)(_random.Chance(0.9) ? 1 : 0),
            TimeoutMs = 20,
        };
    }

    /// <summary>What somebody has seen at one of the replicas, which may be ahead of the one that is asked; now and then of another life of the group.</summary>
    private SessionPoint Session(byte[] key)
    {
        GroupId group = _cluster.Routing.GroupOf(_cluster.Routing.VirtualNodeOf(key));
        SessionPoint seen = _cluster.Nodes.Select(node => node.Store?.LocalReplica(group)?.Reader.SessionPoint ?? default)
            .Skip(_random.Below(_cluster.Nodes.Count)).FirstOrDefault(point => !point.IsNone);
        return _random.Chance(0.05) ? seen with { History = seen.History + 1 } : seen;
    }

    private void Look(NodeId from, NodeId to, ReadOnlyMemory<byte> payload)
    {
        if (from != _asked || SnapshotPayload.TryRead(from, payload.Span) is not null)
        {
            return;
        }

        _messages.Clear();
        _sawQuestion |= PeerPayload.TryRead(payload.Span, out _, _messages)
            && _messages.Exists(message => message.Group == _group && message.Message is ReadIndexRequest);
    }

    private static void Turn(ShardLoop loop)
    {
        for (int turns = 0; turns < MostTurns && loop.RunOnce(); turns++)
        {
        }
    }

    private void WriteForEver() => _cluster.Scheduler.After(3_000, "write", 0, () =>
    {
        _cluster.Nodes[_random.Below(_cluster.Nodes.Count)].Store?.Submit(
            new KvRequest { Operation = new Put(Key(_random.Below(KeyCount)), new byte[8]), HopsLeft = 1, TimeoutMs = 2_000 }, new ReplySink(_ => { }));
        WriteForEver();
    });

    /// <summary>One node at a time is cut off, in both directions or in one, or killed, and comes back.</summary>
    private void DisturbForEver() => _cluster.Scheduler.After(_random.Between(100_000, 1_000_000), "disturb", 0, () =>
    {
        SimulatedNode node = _cluster.Nodes[_random.Below(_cluster.Nodes.Count)];
        bool dies = node.Store is not null && _random.Chance(0.3);
        if (dies)
        {
            _cluster.Kill(node);
        }

        foreach (SimulatedNode other in _cluster.Nodes.Where(other => other != node && !dies))
        {
            _cluster.Network.Cut(node.Id, other.Id);
            if (_random.Chance(0.7))
            {
                _cluster.Network.Cut(other.Id, node.Id);
            }
        }

        _cluster.Scheduler.After(_random.Between(200_000, 4_000_000), "mend", 0, () =>
        {
            _cluster.Network.HealCuts(node.Id);
            if (node.Store is null)
            {
                _cluster.Start(node);
            }

            DisturbForEver();
        });
    });

    private static byte[] Key(int number) => Encoding.ASCII.GetBytes($"k{number}");
}
