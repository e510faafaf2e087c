using System.Text;
using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>
/// Clients that each own some keys and write counted values to them, one write at a time, at nodes drawn at random. Because a
/// key has one writer, and each write says that all earlier ones are over (ackedBelow), what it must hold at the end is
/// known: the last acknowledged value, or one written after it whose outcome was never told.
/// </summary>
public sealed class RegisterWriters
{
    private readonly SimulatedCluster _cluster;
    private readonly SimulatedRandom _random;
    private readonly Writer[] _writers;
    private readonly int _timeoutMs;
    private bool _stopped;

    private sealed class Writer(int number)
    {
        public int Number => number;
        public byte[][] Keys { get; init; } = [];
        public Dictionary<int, Register> Registers { get; } = [];
        public int Attempt { get; set; }
    }

    /// <summary>What is known of one key.</summary>
    private sealed class Register
    {
        public int Written { get; set; }
        public int Acknowledged { get; set; }
        public HashSet<int> NeverApplied { get; } = [];
    }

    public RegisterWriters(SimulatedCluster cluster, int writers, int keysPerWriter, int timeoutMs = 2_000)
    {
        _cluster = cluster;
        _timeoutMs = timeoutMs;
        _random = cluster.Random.Fork();
        _writers = [.. Enumerable.Range(0, writers).Select(w => new Writer(w)
        {
            Keys = [.. Enumerable.Range(0, keysPerWriter).Select(k => Encoding.ASCII.GetBytes($"w{w}/k{k}"))],
        })];
    }

    public long Acknowledged { get; private set; }

    public long Unknown { get; private set; }

    public long Refused { get; private set; }

    public void Start()
    {
        _stopped = false;
        foreach (Writer writer in _writers)
        {
            Next(writer);
        }
    }

    public void Stop() => _stopped = true;

    /// <summary>
    /// Reads every key strongly and compares; the text of the first lie, or null. The cluster must be able to answer.
    /// </summary>
    public string? Check()
    {
        foreach (Writer writer in _writers)
        {
            foreach ((int key, Register register) in writer.Registers)
            {
                KvReply? reply = null;
                var request = new KvRequest { Operation = new Get(writer.Keys[key]), TimeoutMs = 30_000 };
                SimulatedNode node = _cluster.Nodes[_random.Below(_cluster.Nodes.Count)];
                node.Store!.Submit(request, new ReplySink(r => reply = r));
                _cluster.Scheduler.RunUntil(() => reply is not null, 60_000_000);
                if (Judge(writer.Keys[key], register, reply) is { } lie)
                {
                    return lie;
                }
            }
        }

        return null;
    }

    private static string? Judge(byte[] key, Register register, KvReply? reply)
    {
        string name = Encoding.ASCII.GetString(key);
        if (reply is null || reply.Code is not (ErrorCode.None or ErrorCode.KeyNotFound))
        {
            return $"{name} could not be read: {reply?.Code.ToString() ?? "no answer"} {reply?.Detail}";
        }

        int value = reply.Result is Found found ? int.Parse(Encoding.ASCII.GetString(found.Value.Span)) : 0;
        if (value < register.Acknowledged)
        {
            return $"{name} holds {value}, but {register.Acknowledged} was acknowledged";
        }

        return value > register.Written || register.NeverApplied.Contains(value)
            ? $"{name} holds {value}, which was never written or was refused (last write {register.Written})"
            : null;
    }

    private void Next(Writer writer) =>
        _cluster.Scheduler.After(_random.Between(100, 4_000), "write", writer.Number, () =>
        {
            if (_stopped)
            {
                return;
            }

            SimulatedNode node = _cluster.Nodes[_random.Below(_cluster.Nodes.Count)];
            if (node.Store is not { } store)
            {
                Next(writer);
                return;
            }

            int key = _random.Below(writer.Keys.Length);
            if (!writer.Registers.TryGetValue(key, out Register? register))
            {
                writer.Registers.Add(key, register = new Register());
            }

            int value = ++register.Written;
            int attempt = ++writer.Attempt;
            var request = new KvRequest
            {
                Operation = new Put(writer.Keys[key], Encoding.ASCII.GetBytes(value.ToString())),
                Id = new RequestId((UInt128)(ulong)(writer.Number + 1), (ulong)attempt, WallMs(), (ulong)attempt),
                TimeoutMs = _timeoutMs,
            };
            node.OnCrash(() => Ended(writer, attempt, register, value, null));
            store.Submit(request, new ReplySink(reply => Ended(writer, attempt, register, value, reply)));
        });

    private ulong WallMs() => (ulong)SimulatedClock.TrueTime(_cluster.Scheduler).ToUnixTimeMilliseconds();

    private void Ended(Writer writer, int attempt, Register register, int value, KvReply? reply)
    {
        if (writer.Attempt != attempt)
        {
            return;
        }

        writer.Attempt++;
        if (reply is { Code: ErrorCode.None })
        {
            Acknowledged++;
            register.Acknowledged = value;
        }
        else if (reply is { Outcome: Outcome.NotApplied })
        {
            Refused++;
            register.NeverApplied.Add(value);
        }
        else
        {
            Unknown++;
        }

        Next(writer);
    }
}
