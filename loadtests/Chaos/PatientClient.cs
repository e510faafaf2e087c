using KvStore.LoadTests.Load;
using KvStore.Protocol;

namespace KvStore.LoadTests.Chaos;

/// <summary>
/// Sends a request again, under the same id, over one node after the other, until there is a definite answer or its time is up.
/// It keeps the one thing a naive retry loop forgets: an attempt that may have been applied stays possible, whatever a later
/// attempt answers short of success.
/// </summary>
internal sealed class PatientClient(IStoreClient client, TimeSpan patience, TimeProvider clock)
{
    private const int AttemptTimeoutMs = 1500;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(160);

    public int NodeCount => client.NodeCount;

    /// <param name="node">The node that is asked first.</param>
    /// <param name="lane">As in <see cref="IStoreClient"/>.</param>
    /// <param name="request">A write carries its id.</param>
    /// <param name="session">As in <see cref="IStoreClient"/>.</param>
    /// <param name="stayWithNode">Ask this node only.</param>
    public async Task<Answer> SendAsync(int node, int lane, KvRequest request, ClientSession? session = null, bool stayWithNode = false)
    {
        long start = clock.GetTimestamp();
        bool maybeApplied = false;
        for (var pause = FirstPause; ; pause = pause < LongestPause ? pause * 2 : LongestPause)
        {
            int leftMs = (int)Math.Max(1, (patience - clock.GetElapsedTime(start)).TotalMilliseconds);
            var reply = await client.SendAsync(node, lane, request with { TimeoutMs = Math.Min(leftMs, AttemptTimeoutMs) }, session);
            if (reply.Code is ErrorCode.None or ErrorCode.KeyNotFound || reply.Outcome == Outcome.Applied)
            {
                return new Answer(OperationOutcome.Ok, reply, node);
            }

            maybeApplied |= request.IsWrite && reply.Outcome != Outcome.NotApplied;
            bool pointless = ErrorCodes.Of(reply.Code).Retry == RetryRule.Never;
            if (pointless || clock.GetElapsedTime(start) + pause >= patience)
            {
                return new Answer(maybeApplied ? OperationOutcome.Unknown : OperationOutcome.Fail, reply, node);
            }

            await Task.Delay(pause, clock, CancellationToken.None);
            node = stayWithNode ? node : (node + 1) % client.NodeCount;
        }
    }
}
