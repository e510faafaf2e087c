using System.IO.Pipelines;

namespace KvStore.Protocol;

internal static class Transports
{
    /// <summary>
    /// Completes both halves, and disposes a transport that wants it (a socket). Completing a half that wraps a broken socket may
    /// throw; there is nothing left to save then.
    /// </summary>
    public static async ValueTask CloseAsync(IDuplexPipe transport)
    {
        try
        {
            await transport.Input.CompleteAsync().ConfigureAwait(false);
            await transport.Output.CompleteAsync().ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or OperationCanceledException)
        {
        }
        finally
        {
            (transport as IDisposable)?.Dispose();
        }
    }
}
