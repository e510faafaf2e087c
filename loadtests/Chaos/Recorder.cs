using System.Diagnostics;
using System.Text;
using KvStore.LoadTests.Load;
using KvStore.Protocol;

namespace KvStore.LoadTests.Chaos;

/// <summary>How an operation ended after all its attempts, the last reply, and the index of the node that gave it.</summary>
internal readonly record struct Answer(OperationOutcome Outcome, KvReply Reply, int AskedNode);

/// <summary>The clock of a run, its history and its counts. Any thread records.</summary>
internal sealed class Recorder(HistoryFile history, IReadOnlyList<string> nodeNames)
{
    private readonly long _start = Stopwatch.GetTimestamp();
    private int _lastProcess = -1;
    private long _acknowledged;

    /// <summary>Nanoseconds since the start of the run.</summary>
    public long Now => (long)Stopwatch.GetElapsedTime(_start).TotalNanoseconds;

    /// <summary>Operations answered so far, reads included.</summary>
    public long Acknowledged => Interlocked.Read(ref _acknowledged);

    public int NewProcess() => Interlocked.Increment(ref _lastProcess);

    /// <param name="process">Whose operation it was.</param>
    /// <param name="request">What was asked.</param>
    /// <param name="callNs">When it was sent first.</param>
    /// <param name="answer">How it ended.</param>
    /// <param name="sent">The token it was sent with; null when its process has no session.</param>
    /// <param name="final">A read at the end of the run.</param>
    public void Record(int process, KvRequest request, long callNs, Answer answer, SessionToken? sent = null, bool final = false)
    {
        long returnNs = Now;
        var terms = request.Read;
        var asked = terms.Level;
        var evidence = answer.Reply.Evidence;
        int served = evidence is { } known && !known.Node.IsNone ? (int)known.Node.Value - 1 : answer.AskedNode;
        var met = answer.Outcome == OperationOutcome.Ok && evidence is { } proof ? proof.Level : asked;
        bool found = answer.Outcome == OperationOutcome.Ok && answer.Reply.Code != ErrorCode.KeyNotFound;
        ReadOnlyMemory<byte> shown = answer.Reply.Result is Found value ? value.Value : default;
        history.Add(new HistoryRecord
        {
            Process = process,
            Op = request.IsWrite ? HistoryRecord.Put : HistoryRecord.Get,
            Key = Encoding.ASCII.GetString(request.Key.Span),
            Value = request.Operation is Put put ? Encoding.ASCII.GetString(put.Value.Span) : null,
            Result = found && !request.IsWrite ? Encoding.UTF8.GetString(shown.Span) : null,
            CallNs = callNs,
            ReturnNs = answer.Outcome == OperationOutcome.Unknown ? null : returnNs,
            Outcome = answer.Outcome,
            Level = request.IsWrite ? null : ReadLevels.NameOf(met),
            Asked = request.IsWrite || met == asked ? null : ReadLevels.NameOf(asked),
            OnUnmet = request.IsWrite || terms.OnUnmet == OnUnmet.Forward ? null : ReadLevels.NameOf(terms.OnUnmet),
            BoundMs = !request.IsWrite && asked == ReadLevel.Bounded ? terms.MaxStalenessMs : null,
            Session = sent?.Points.ToDictionary(point => point.Key.Value, point => point.Value.Applied),
            Error = answer.Outcome == OperationOutcome.Ok ? null : answer.Reply.Code.ToString(),
            AgeMs = evidence is { AgeMs: not Evidence.AgeUnknown and var age } ? age : null,
            Node = nodeNames[served],
            Group = evidence?.Group.Value,
            Term = evidence?.Term,
            Applied = evidence?.Applied,
            Version = found ? answer.Reply.Revision : null,
            Final = final,
        });
        if (answer.Outcome == OperationOutcome.Ok)
        {
            Interlocked.Increment(ref _acknowledged);
        }
    }
}
