namespace KvStore.Node.Config;

/// <summary>
/// The start cannot go on as asked. The message names the cause and the remedy; the process ends with exit code 2 and has touched
/// nothing.
/// </summary>
public sealed class ConfigurationException : Exception
{
    public ConfigurationException()
    {
    }

    public ConfigurationException(string message)
        : base(message)
    {
    }

    public ConfigurationException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
