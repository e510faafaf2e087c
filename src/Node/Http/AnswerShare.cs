using KvStore.Protocol;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace KvStore.Node.Http;

/// <summary>What one request holds of <see cref="AnswerBudget"/>, until it is answered.</summary>
internal sealed class AnswerShare(AnswerBudget budget) : IDisposable
{
    private const string FullDetail =
        "The values that are on their way to clients of this node have all the memory there is for them (limits.memoryBytes); ask again.";

    public static readonly Problem Full = new(ErrorCode.Overloaded, FullDetail);

    public static readonly KvReply FullReply = new() { Code = ErrorCode.Overloaded, Outcome = Outcome.NotApplied, Detail = FullDetail };

    public long Bytes { get; private set; }

    public bool TryTake(int bytes)
    {
        bool taken = bytes == 0 || budget.TryTake(bytes);
        Bytes += taken ? bytes : 0;
        return taken;
    }

    /// <inheritdoc cref="AnswerBudget.TakeAsync"/>
    public async ValueTask<bool> TakeAsync(int bytes, int waitMs, CancellationToken aborted)
    {
        bool taken = bytes == 0 || await budget.TakeAsync(bytes, waitMs, aborted);
        Bytes += taken ? bytes : 0;
        return taken;
    }

    public void Return(long bytes)
    {
        Bytes -= bytes;
        budget.Return(bytes);
    }

    /// <summary>Gives back all but this, which is held until the client has it: it must not take all day.</summary>
    public void Keep(long bytes, HttpContext context)
    {
        if (Bytes != bytes)
        {
            Return(Bytes - bytes);
        }

        if (bytes > AnswerBudget.FreeBytes && context.Features.Get<IHttpMinResponseDataRateFeature>() is { } pace)
        {
            pace.MinDataRate = new MinDataRate(HttpLimits.MinHeldAnswerBytesPerSecond, HttpLimits.BodyRateGrace);
        }
    }

    /// <summary>The bytes are here already.</summary>
    public bool TryKeep(int bytes, HttpContext context)
    {
        if (!TryTake(bytes))
        {
            return false;
        }

        Keep(bytes, context);
        return true;
    }

    public void Dispose()
    {
        if (Bytes != 0)
        {
            Return(Bytes);
        }
    }
}
