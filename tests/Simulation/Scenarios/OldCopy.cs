using KvStore.Protocol;
using KvStore.Raft;

namespace KvStore.Simulation;

/// <summary>
/// A disk is put back as it was two starts ago, and its node started again and again, while the one node that has what it lacks is down:
/// with its vote, a third node that was away as well would lead, and an acknowledged write be gone.
/// </summary>
public static class OldCopy
{
    private const int Starts = 20;

    /// <exception cref="SafetyViolationException">
    /// old-copy-admitted, stale-read, liveness (the newest folder is not let in again), or whatever the write that is gone breaks.
    /// </exception>
    public static void Run(ulong seed)
    {
        try
        {
            new Course(seed).Run();
        }
        catch (InvariantViolationException broken)
        {
            throw new SafetyViolationException("product-invariant", broken.Message);
        }
    }

    private sealed class Course
    {
        private readonly ulong _seed;
        private readonly SimulatedCluster _cluster;
        private readonly SimulatedNode _n1;
        private readonly SimulatedNode _n2;
        private readonly SimulatedNode _n3;
        private readonly HashSet<(NodeId, NodeId)> _met = [];
        private int _refusals;

        public Course(ulong seed)
        {
            _seed = seed;
            _cluster = new SimulatedCluster(new ClusterOptions { Seed = seed, Groups = 1, VirtualNodes = 4 });
            (_n1, _n2, _n3) = (_cluster.Nodes[0], _cluster.Nodes[1], _cluster.Nodes[2]);
            _cluster.Network.HelloEnded = (from, to, refused) =>
            {
                if (refused is null)
                {
                    _met.Add((from, to));
                }
            };
        }

        public void Run()
        {
            _cluster.StartAll();
            Until(() => _cluster.RunUntilReady(1), "the first leader");
            Write(_n1, 0);
            _cluster.Kill(_n3);
            _n3.Disk.WriteBack();
            IReadOnlyDictionary<string, byte[]> copy = _n3.Disk.Copy();
            for (int restart = 0; restart < 2; restart++)
            {
                _met.Clear();
                _cluster.Start(_n3);
                Until(() => _met.Contains((_n3.Id, _n1.Id)) && _met.Contains((_n3.Id, _n2.Id)), "n3 is let in");
                if (restart == 0)
                {
                    _cluster.Kill(_n3);
                }
            }

            _cluster.Kill(_n2);
            Write(_n1, 1);
            _cluster.Kill(_n3);
            _n3.Disk.WriteBack();
            IReadOnlyDictionary<string, byte[]> newest = _n3.Disk.Copy();
            _cluster.Kill(_n1);
            _cluster.Start(_n2);
            StartAgainAndAgain(copy);

            _n3.Disk.PutBack(newest);
            _n3.IsOldCopy = false;
            _cluster.Start(_n3);
            KvReply read = Ask(_n2, new Get("k"u8));
            Require(read.Code == ErrorCode.None, "liveness", $"the newest folder was put back, and a read answers {read.Code}: {read.Detail}");
            Require(((Found)read.Result!).Value.Span[0] == 1, "stale-read", "the write that only n1 and n3 have is not read");
            _cluster.Start(_n1);
            Write(_n1, 2);
        }

        private void StartAgainAndAgain(IReadOnlyDictionary<string, byte[]> copy)
        {
            _n3.Disk.PutBack(copy);
            _n3.IsOldCopy = true;
            _n3.OnRefused = (_, _) => _refusals++;
            for (int start = 1; start <= Starts; start++)
            {
                // Whether it is the folder of before once more, or goes on counting without the mark.
                if (_seed % 2 == 0)
                {
                    _n3.Disk.PutBack(copy);
                }
                else if (_n3.Disk.Exists(Refused))
                {
                    _n3.Disk.Take(Refused);
                }

                _met.Clear();
                _refusals = 0;
                _n3.Start();
                _cluster.Scheduler.RunUntil(() => _refusals > 0, 3_000_000);
                _cluster.Scheduler.RunFor(500_000);
                Require(_refusals > 0 && _n3.Store is null && _met.Count == 0, "old-copy-admitted", $"start {start} of an old copy was let in");
            }

            _n3.OnRefused = null;
        }

        private void Write(SimulatedNode at, byte value)
        {
            KvReply reply = Ask(at, new Put("k"u8, [value]));
            Require(reply.Code == ErrorCode.None, "liveness", $"a write at n{at.Id}: {reply.Code} {reply.Detail}");
        }

        private KvReply Ask(SimulatedNode at, Protocol.Operation operation)
        {
            KvReply? reply = null;
            at.Store!.Submit(new KvRequest { Operation = operation, TimeoutMs = 20_000 }, new ReplySink(r => reply = r));
            _cluster.Scheduler.RunUntil(() => reply is not null, LimitMicros);
            Require(reply is not null, "liveness", "no answer");
            return reply!;
        }

        private void Until(Func<bool> condition, string what) =>
            Require(_cluster.Scheduler.RunUntil(condition, LimitMicros), "liveness", $"not reached: {what}");

        private static void Require(bool holds, string invariant, string what)
        {
            if (!holds)
            {
                throw new SafetyViolationException(invariant, what);
            }
        }

        private const string Refused = "/data/n3/refused";
        private const long LimitMicros = 30_000_000;
    }
}
