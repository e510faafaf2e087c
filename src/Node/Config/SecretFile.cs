using System.Security.Cryptography;
using System.Text;
using KvStore.Protocol;

namespace KvStore.Node.Config;

/// <summary>Where the cluster secret comes from. No message of this file ever holds a byte of it.</summary>
internal static class SecretFile
{
    public const string Variable = Configuration.EnvironmentPrefix + "Security__ClusterSecret";
    public const string Setting = "security.clusterSecretFile";

    private const int GeneratedBytes = 32;

    /// <summary>In the data folder: made by a process that runs all nodes, found by later ones that run one.</summary>
    public static string DefaultIn(string dataDirectory) => Path.Combine(dataDirectory, "cluster-secret");

    public static ClusterSecret Read(string file)
    {
        try
        {
            using var stream = File.OpenRead(file);
            var bytes = new byte[ClusterSecret.MaxBytes + 3];
            var length = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            return Parse(bytes.AsSpan(0, length), file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException(
                $"cannot read the cluster secret: {e.Message.TrimEnd('.')}; put the file there, the same for every node, readable for this user", e);
        }
    }

    /// <summary>What a file of the data folder says; makes one of random bytes when there is none.</summary>
    public static ClusterSecret ReadOrCreate(string file)
    {
        try
        {
            var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
            if (!OperatingSystem.IsWindows())
            {
                options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            }

            using var stream = new FileStream(file, options);
            stream.Write(Encoding.ASCII.GetBytes(Convert.ToHexString(RandomNumberGenerator.GetBytes(GeneratedBytes)) + "\n"));
            stream.Flush(flushToDisk: true);
        }
        catch (IOException) when (File.Exists(file))
        {
            // there is one already
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException(
                $"cannot write the cluster secret: {e.Message.TrimEnd('.')}; give this user the right to, or choose another folder with --data DIR", e);
        }

        return Read(file);
    }

    /// <summary>The end of the line that an editor leaves is no part of it.</summary>
    public static ClusterSecret Parse(ReadOnlySpan<byte> text, string source)
    {
        var key = text.TrimEnd("\r\n"u8);
        return key.Length is >= ClusterSecret.MinBytes and <= ClusterSecret.MaxBytes
            ? new ClusterSecret(key)
            : throw new ConfigurationException(
                $"the cluster secret from {source} has {(key.Length > ClusterSecret.MaxBytes ? "more" : $"{key.Length} bytes")}; it must have "
                + $"{ClusterSecret.MinBytes} to {ClusterSecret.MaxBytes} bytes, such as those of: openssl rand -hex 32");
    }
}
