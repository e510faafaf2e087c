namespace KvStore.Node.Hosting;

internal static class ExitCode
{
    public const int Stopped = 0;

    /// <summary>The disk failed or an invariant broke: a restart may help.</summary>
    public const int Failed = 1;

    /// <summary>The start was wrong as asked, or the data is not what it should be: a restart alone will not help.</summary>
    public const int BadInput = 2;
}
